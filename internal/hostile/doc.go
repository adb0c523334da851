// Package hostile shows that bad input is refused, whichever way it comes in.
//
// Its tests hold one table for each kind of input (tokens, key sets,
// certificates, quotes, collateral, rules, policies, requests,
// configurations). Every case is an input with one fault; every door is a way
// by which such input reaches the software, from a function of the library to
// the real programs over real sockets. Each case goes through each door of
// its kind, and must be refused there with the answer that the table expects.
//
// No door may panic, accept, repeat what is secret in the input, or serve good
// input worse afterwards: a good input goes through every door before and
// after the bad ones.
//
// The package does not replace the tables of the packages, which know every
// fault of their own parsers. It owns what none of them can see: that all doors
// agree. It has no code but tests.
package hostile
