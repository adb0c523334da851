// Package middleman shows that nobody between a client and the trusted execution environment
// sees a token: not who owns the network and the broker's name, and has a valid
// certificate for it of a CA that everybody trusts, and genuine hardware of his own.
//
// Its tests run the real programs on simulated hardware over real sockets and TLS. The broker
// has a public name, to which a proxy is the only way, as a network is; whoever the
// test says stands there in the broker's place, and writes down all that he could decrypt.
// Each of the men is tried with a client that asks for no evidence too, and then he must have got
// the token: what shows nothing would show nothing here.
//
// It has no code but tests.
package middleman
