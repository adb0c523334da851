//go:build race

package nitro_test

// raceEnabled tells that everything takes ten times as long.
const raceEnabled = true
