package snp

import (
	"bytes"
	"crypto/x509"
	"sync/atomic"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// memo remembers the chain that was verified last, by all of its bytes: the keys of one broker have evidence of one chip. What may change, whether it is
// valid, revoked and about a report, is judged each time.
type memo struct{ last atomic.Pointer[remembered] }

type remembered struct {
	root  *x509.Certificate // that it was verified under
	of    kds.Collateral
	chain *kds.Chain
}

// verify returns c.Verify(root). The chain is shared: it is not modified.
func (m *memo) verify(c *kds.Collateral, root *x509.Certificate) (*kds.Chain, error) {
	if last := m.last.Load(); last != nil && last.root == root && same(&last.of, c) {
		return last.chain, nil
	}
	// What the source returned may change under our hands; what is remembered may not.
	own := kds.Collateral{Leaf: bytes.Clone(c.Leaf), CA: bytes.Clone(c.CA), Root: bytes.Clone(c.Root), CRL: bytes.Clone(c.CRL)}
	chain, err := own.Verify(root)
	if err != nil {
		return nil, err
	}
	m.last.Store(&remembered{root, own, chain})
	return chain, nil
}

func same(a, b *kds.Collateral) bool {
	return bytes.Equal(a.Leaf, b.Leaf) && bytes.Equal(a.CA, b.CA) && bytes.Equal(a.Root, b.Root) && bytes.Equal(a.CRL, b.CRL)
}
