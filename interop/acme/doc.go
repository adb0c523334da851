// Package acme has no code of its own: its tests have Pebble, Let's Encrypt's ACME server for tests,
// give ctb-broker a certificate, as it comes from the module proxy, with its own DNS and TLS-ALPN-01 validation
// against the broker's one listener on loopback.
package acme
