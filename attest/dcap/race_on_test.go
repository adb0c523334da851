//go:build race

package dcap

// The race detector makes everything some ten times slower.
const raceEnabled = true
