//go:build !race

package nitro_test

const raceEnabled = false
