package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBits: a bit without a name is told by its number, and what has several bits once.
func TestBits(t *testing.T) {
	for text, want := range map[string]string{
		"0000001000000000": "SEPT_VE_DISABLE",
		"0100000000000080": "DEBUG, PERFMON",
		"0200000000000000": "bit 1",
		"0000000000000000": "no bit is set",
	} {
		if got := bits(text, tdAttributes); got != text+": "+want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, want := bits("e702060000000000", xfam), "e702060000000000: x87, SSE, AVX, AVX-512, PKRU, AMX"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := bits("00", xfam); got != "00" {
		t.Errorf("got %s of a number of another size", got)
	}
}

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"7", []string{"7"}},
		{"0", []string{"0"}},
		{strings.Repeat("a", 64), []string{strings.Repeat("a", 64)}},
		{strings.Repeat("a", 96), []string{strings.Repeat("a", 48), strings.Repeat("a", 48)}},
		{strings.Repeat("a", 130), []string{strings.Repeat("a", 44), strings.Repeat("a", 44), strings.Repeat("a", 42)}},
		{strings.Repeat("0", 96), []string{"zero (48 bytes)"}},
	} {
		if got := digits(c.text); !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * 24 * time.Hour: "30 days", 48 * time.Hour: "2 days", 47 * time.Hour: "47 hours",
		119 * time.Minute: "119 minutes", -time.Hour: "0 minutes",
	} {
		if got := left(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}
