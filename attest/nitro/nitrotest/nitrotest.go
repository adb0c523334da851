// Package nitrotest is a Nitro security module for tests: it makes attestation
// documents of the genuine form under a root of its own. Nothing that matters may trust that root;
// verifiers accept it only where a caller passes it, and mark every report as simulated.
//
// A [Module] has the certificates that AWS's have, at the same depth and with lives as long: root, region,
// zone, instance, and the one of three hours whose key signs. [Config] says which enclave asks; a [Fault] spoils one
// thing in its documents, as a forger would.
//
// The package verifies nothing: that is the work of package nitro, which shares no
// code with it, so that neither can hide a mistake of the other. Nor is it an
// emulator: there is no enclave, and the registers hold what the configuration says.
package nitrotest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Module is a Nitro security module. It is a [tee.Quoter], safe for concurrent use.
type Module struct {
	config Config // settled
	keys   *keyring
	root   *x509.Certificate

	mu   sync.Mutex
	last *chain // of the document that was made last: most are made within the same hours
}

// New makes a module.
func New(c Config) (*Module, error) {
	m, err := newModule(c)
	if err != nil {
		return nil, fmt.Errorf("nitrotest: %w", err)
	}
	return m, nil
}

func newModule(c Config) (*Module, error) {
	c, err := c.settle()
	if err != nil {
		return nil, err
	}
	keys, err := newKeyring(c.Seed)
	if err != nil {
		return nil, err
	}
	m := &Module{config: c, keys: keys}
	m.root, err = m.makeRoot()
	return m, err
}

// Root returns the development root's certificate. It depends on the seed alone.
func (m *Module) Root() *x509.Certificate { return m.root }

// RootPEM returns the development root's certificate for a file, such as a policy's simulated_root.
func (m *Module) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.root.Raw})
}

// Document returns the attestation document that the module makes at an instant, COSE_Sign1 in CBOR. Each of
// the first three is left out if it is nil; their sizes are not bounded, so that documents can be made that AWS's
// modules never would. An instant before 2020 or after 2045 is a mistake of the test, and panics.
func (m *Module) Document(userData, nonce, publicKey []byte, at time.Time) []byte {
	doc, err := m.document(userData, nonce, publicKey, at)
	if err != nil {
		panic("nitrotest: " + err.Error())
	}
	return doc
}

// Validity is the window in which a document of a sound module made at the
// given instant can be verified. Its end is that of the certificate inside.
func (m *Module) Validity(at time.Time) tee.Window { return leafLife(at).window() }

// Quote implements [tee.Quoter] with a document that has data as its user data, made at Config.Now.
func (m *Module) Quote(ctx context.Context, data [64]byte) (*tee.Evidence, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := m.config.Now()
	doc, err := m.document(data[:], nil, nil, now)
	if err != nil {
		return nil, fmt.Errorf("nitrotest: %w", err)
	}
	return &tee.Evidence{Platform: tee.Nitro, Quote: doc, NotAfter: leafLife(now).to}, nil
}
