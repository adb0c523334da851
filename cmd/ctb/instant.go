package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// instant is a flag's value: a point in time, RFC 3339 or Unix seconds. Its
// zero value was not given.
type instant struct{ time.Time }

func (i *instant) Type() string { return "TIME" }

func (i *instant) String() string {
	if i.IsZero() {
		return ""
	}
	return i.UTC().Format(time.RFC3339)
}

func (i *instant) Set(s string) error {
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		// Years after 9999 have no RFC 3339 form, and are a slip such as milliseconds.
		if seconds < 0 || seconds > 253402300799 {
			return fmt.Errorf("got %d, want seconds since 1970 (not milliseconds)", seconds)
		}
		i.Time = time.Unix(seconds, 0).UTC()
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("got %q, want a time such as 2025-08-20T00:00:00Z, or Unix seconds", s)
	}
	if t.Unix() < 0 { // the year 1 would count as not given, which is now
		return fmt.Errorf("got %q, want a time from 1970 on", s)
	}
	i.Time = t
	return nil
}

// register adds the flag --at of commands that judge.
func (i *instant) register(cmd *cobra.Command) {
	cmd.Flags().Var(i, "at", "judge at this instant, RFC 3339 or Unix seconds (default now)")
}

// or returns the instant, or the other one if it was not given.
func (i *instant) or(t time.Time) time.Time {
	if i.IsZero() {
		return t
	}
	return i.Time
}

// show writes an instant in UTC, to the second.
func show(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// day writes the date of an instant in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// span writes a duration as people do: 1h, and not 1h0m0s.
func span(d time.Duration) string {
	text := d.String()
	if d >= time.Minute {
		text = strings.TrimSuffix(text, "0s")
	}
	if d >= time.Hour {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
