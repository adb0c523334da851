package simulated

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
)

// Where Intel would publish revocation lists; the name resolves nowhere (RFC 6761).
const (
	rootCRLURL = "https://simulated.invalid/SimulatedRootCA.der"
	pckCRLURL  = "https://simulated.invalid/sgx/certification/v4/pckcrl?encoding=der&ca="
)

// pki is the certificates of a platform.
type pki struct {
	anchor   *x509.Certificate // what a user of the platform trusts
	root     *authority        // what the evidence is made under: the same, but for a fault
	ca       *authority
	signer   *authority
	qeSigner *authority // mostly the same as signer
	pck      *authority
}

// build signs everything in the plan.
func build(p *plan, keys *keyring) (*Platform, error) {
	certs, err := newPKI(p, keys)
	if err != nil {
		return nil, err
	}
	collateral, err := newCollateral(p, keys, certs)
	if err != nil {
		return nil, err
	}
	tail, err := newTail(p, keys, certs)
	if err != nil {
		return nil, err
	}
	if err := keys.read("QE ID", p.header.qeID[:]); err != nil {
		return nil, err
	}
	pl := &Platform{
		root:       certs.anchor,
		collateral: *collateral,
		marshaled:  collateral.Marshal(),
		head:       p.signedHead(),
		dataAt:     p.dataAt(),
		tail:       tail,
		key:        keys.get(p.quoteBy),
	}
	if p.padding > 0 {
		pl.spoil = func(q []byte) []byte { return append(q, make([]byte, p.padding)...) }
	}
	if p.spoilQuote != nil {
		pl.spoil = func(q []byte) []byte { return p.spoilQuote(p, q) }
	}
	return pl, nil
}

func newPKI(p *plan, keys *keyring) (*pki, error) {
	anchor, err := issueRoot(keys, rootKey)
	if err != nil {
		return nil, err
	}
	c := &pki{anchor: anchor.cert, root: anchor}
	if p.rootKey != rootKey {
		if c.root, err = issueRoot(keys, p.rootKey); err != nil {
			return nil, err
		}
	}
	if c.ca, err = issueCA(keys, c.root, p.caName, p.caKey, p.caLife, p.caIsCA); err != nil {
		return nil, err
	}
	if c.signer, err = issueSigner(p, keys, c.root, p.signer); err != nil {
		return nil, err
	}
	c.qeSigner = c.signer
	if p.qeSigner != p.signer {
		if c.qeSigner, err = issueSigner(p, keys, c.root, p.qeSigner); err != nil {
			return nil, err
		}
	}
	c.pck, err = issuePCK(p, keys, c.ca)
	return c, err
}

// by replaces the root's key where a fault puts the whole evidence under another root.
func (p *plan) by(n keyName) keyName {
	if n == rootKey {
		return p.rootKey
	}
	return n
}

func issueRoot(keys *keyring, n keyName) (*authority, error) {
	return issue(certShape{name: rootName, key: keys.get(n), life: rootLife, ca: true, pathLen: 1, crl: rootCRLURL}, nil)
}

func issueCA(keys *keyring, root *authority, name string, key keyName, l life, isCA bool) (*authority, error) {
	return issue(certShape{name: name, key: keys.get(key), life: l, ca: isCA, crl: rootCRLURL}, root)
}

func issueSigner(p *plan, keys *keyring, root *authority, s signerPlan) (*authority, error) {
	return issue(certShape{name: s.name, key: keys.get(s.key), life: s.life, crl: rootCRLURL}, root.signingAs(keys.get(p.by(s.by))))
}

func issuePCK(p *plan, keys *keyring, ca *authority) (*authority, error) {
	if err := keys.read("PPID", p.pck.ppid[:]); err != nil {
		return nil, err
	}
	if p.caKey == platformCAKey {
		p.pck.instanceID = new([16]byte)
		if err := keys.read("platform instance ID", p.pck.instanceID[:]); err != nil {
			return nil, err
		}
	}
	serial, err := keys.bytes("PCK serial number", 20)
	if err != nil {
		return nil, err
	}
	var extra []pkix.Extension
	if !p.pckBare {
		ext, err := p.pck.marshal()
		if err != nil {
			return nil, err
		}
		extra = append(extra, ext)
	}
	return issue(certShape{
		name: pckName, key: keys.get(pckKey), life: p.pckLife, serial: serialNumber(serial), crl: pckCRLURL + p.ca, extra: extra,
	}, ca.signingAs(keys.get(p.pckBy)))
}

// authDataSize is how long the authentication data of genuine quoting enclaves is.
const authDataSize = 32

// newTail makes what a quoting enclave makes once and attaches to every quote:
// its attestation key, its report that vouches for the key, signed with the
// PCK, and the certificates.
func newTail(p *plan, keys *keyring, certs *pki) ([]byte, error) {
	key, err := rawPublic(keys.get(attestationKey))
	if err != nil {
		return nil, err
	}
	bound, err := rawPublic(keys.get(p.boundKey))
	if err != nil {
		return nil, err
	}
	if p.keyOffCurve {
		key[63] ^= 1
		bound = key // the quoting enclave vouches for it nevertheless
	}
	authData := make([]byte, authDataSize)
	for i := range authData {
		authData[i] = byte(i) // as genuine ones have it
	}
	digest := sha256.Sum256(append(bound, authData...))
	copy(p.qe.data[:], digest[:])
	if p.qeData != nil {
		p.qeData(&p.qe.data)
	}
	v := vouched{report: p.qe.marshal(), authData: authData}
	if v.signature, err = signRaw(keys.get(p.qeBy), v.report); err != nil {
		return nil, err
	}
	// Genuine quoting enclaves end the chain with a NUL.
	c := certification{certPCKChain, append([]byte(pemChain(certs.pck, certs.ca, certs.root)), 0)}
	if p.certify != nil {
		p.certify(&c)
	}
	if !p.nested {
		return c.append(v.append(key)), nil
	}
	// Since version 4 both are within certification data of a type of its own.
	return certification{p.outerKind, c.append(v.append(nil))}.append(key), nil
}
