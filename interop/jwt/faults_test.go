package jwt

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// faults spoil a good token in one place each; nobody may accept the result.
var faults = []struct {
	name  string
	spoil func(t *testing.T, raw string) string
}{
	{"a changed signature", func(t *testing.T, raw string) string {
		return edit(t, raw, 2, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	}},
	{"no signature", func(t *testing.T, raw string) string {
		return edit(t, raw, 2, func([]byte) []byte { return nil })
	}},
	{"a changed claim", func(t *testing.T, raw string) string {
		return edit(t, raw, 1, func(b []byte) []byte { return bytes.Replace(b, []byte(`"sub":"`), []byte(`"sub":"x`), 1) })
	}},
	{"alg none", func(t *testing.T, raw string) string {
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
		return none + "." + strings.Split(raw, ".")[1] + "."
	}},
}

// edit changes one decoded part of a compact JWS.
func edit(t *testing.T, raw string, part int, change func([]byte) []byte) string {
	t.Helper()
	parts := strings.Split(raw, ".")
	before, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		t.Fatal(err)
	}
	after := change(bytes.Clone(before))
	if bytes.Equal(before, after) {
		t.Fatalf("the edit of part %d changed nothing", part)
	}
	parts[part] = base64.RawURLEncoding.EncodeToString(after)
	return strings.Join(parts, ".")
}
