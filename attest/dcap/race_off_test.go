//go:build !race

package dcap

const raceEnabled = false
