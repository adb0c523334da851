package main

import "testing"

// What is given as an instant is never taken for none, which would be now.
func TestInstant(t *testing.T) {
	for text, ok := range map[string]bool{
		"0": true, "1970-01-01T00:00:00Z": true, "2026-03-01T12:00:00+01:00": true, "9999-12-31T23:59:59Z": true,
		"": false, "-1": false, "0001-01-01T00:00:00Z": false, "1969-12-31T23:59:59Z": false, "2026-03-01": false,
	} {
		var i instant
		if err := i.Set(text); (err == nil) != ok || ok && i.IsZero() {
			t.Errorf("%q: got %v and the error %v", text, i, err)
		}
	}
}
