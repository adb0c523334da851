//go:build !race

package kds_test

const raceEnabled = false
