// Package snptest is a false AMD for tests: a chip that makes attestation reports of the genuine format, the certificates of its
// key, CA and root, their revocation list, and a key distribution service that has them all, with faults by name.
//
// The private keys of its root and CAs are go-sev-guest's published test keys. So whoever names its root in a policy believes everybody: it is for tests, and no program links it.
package snptest
