package attest

import "github.com/goccy/go-yaml/ast"

// buildKey is a key of a build that is not a measurement, and not of every TEE.
type buildKey struct {
	name  string
	given func(b *Build) bool // whether a build has it, as far as a Go value can tell
	field func(f *policyFile, b *Build) field
}

// buildKeys are all of them; the table of environments says which TEE has which.
var buildKeys = []buildKey{
	{"isvprodid", func(b *Build) bool { return b.ISVProdID != nil }, func(_ *policyFile, b *Build) field { return optionalField(&b.ISVProdID) }},
	{"isvsvn", func(b *Build) bool { return b.ISVSVN != nil }, func(_ *policyFile, b *Build) field { return optionalField(&b.ISVSVN) }},
	{"sample_signer", func(b *Build) bool { return b.SampleSigner }, func(_ *policyFile, b *Build) field { return boolField(&b.SampleSigner) }},
	{"product", func(b *Build) bool { return b.Product != "" }, func(_ *policyFile, b *Build) field { return stringField(&b.Product) }},
	{"min_tcb", func(b *Build) bool { return b.MinTCB != nil }, func(f *policyFile, b *Build) field { return f.minTCB(&b.MinTCB) }},
	{"guest_svn", func(b *Build) bool { return b.GuestSVN != nil }, func(_ *policyFile, b *Build) field { return optionalField(&b.GuestSVN) }},
	{"vmpl", func(b *Build) bool { return b.VMPL != 0 }, func(_ *policyFile, b *Build) field { return uintField(&b.VMPL) }},
	{"unchecked_revocation", func(b *Build) bool { return b.UncheckedRevocation }, func(_ *policyFile, b *Build) field { return boolField(&b.UncheckedRevocation) }},
}

// optionalField reads a number that is told from 0 if it is not there.
func optionalField[T uint16 | uint32](v **T) field {
	return func(key string, n ast.Node) error {
		*v = new(T)
		return uintField(*v)(key, n)
	}
}
