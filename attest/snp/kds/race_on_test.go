//go:build race

package kds_test

// The race detector makes everything some ten times slower.
const raceEnabled = true
