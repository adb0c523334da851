// Package credential finds out who asks: it takes a token or an API key from
// where it may stand in a request, and says whose it is.
//
// [Tokens] are bearer tokens of one or several issuers, [Keys] are API keys of a
// [Whitelist], and [Any] accepts both. What stands where a credential may stand
// is taken away before a request goes on, good or not.
//
// It knows where credentials stand and what makes them good. It does not know
// what they are good for, or how a refusal is answered: that is the gateway's.
package credential
