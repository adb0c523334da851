// Package arch has no code. Its tests hold the architecture: which package may
// import which, what a program never reaches, every module that ctb-broker
// links with its reason, and a fuzz target for every parser.
package arch
