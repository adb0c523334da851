//go:build !race

package blackbox

// raced is for go build: the program has the race detector where its tests have it.
var raced []string
