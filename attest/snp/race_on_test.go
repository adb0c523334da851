//go:build race

package snp

// The race detector makes everything some ten times slower.
const raceEnabled = true
