package nitrotest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// Faults of the members "certificate" and "cabundle".
const (
	CertificateAbsent  Fault = "certificate-absent"
	CertificateNull    Fault = "certificate-null"
	CertificateEmpty   Fault = "certificate-empty"
	CertificateGarbage Fault = "certificate-garbage"
	CertificateTrails  Fault = "certificate-trails" // a byte follows the leaf's certificate
	CertificateLarge   Fault = "certificate-large"  // one of more than 1024 bytes
	CertificateOfCA    Fault = "certificate-of-ca"  // the instance's, whose key signs, in the place of the leaf's
	BundleAbsent       Fault = "cabundle-absent"
	BundleNull         Fault = "cabundle-null"
	BundleEmpty        Fault = "cabundle-empty"
	BundleRootless     Fault = "cabundle-rootless"      // begins with the region's certificate
	BundleReversed     Fault = "cabundle-reversed"      // in the order of TLS
	BundleSwapped      Fault = "cabundle-swapped"       // two neighbours have changed places
	BundleGap          Fault = "cabundle-gap"           // the zone's certificate is missing
	BundleTwice        Fault = "cabundle-twice"         // the zone's stands there twice
	BundleWithLeaf     Fault = "cabundle-with-leaf"     // the leaf's follows
	BundleStranger     Fault = "cabundle-stranger"      // a certificate that belongs to nobody in the chain follows
	BundleItemEmpty    Fault = "cabundle-item-empty"    // an empty certificate follows
	BundleItemNull     Fault = "cabundle-item-null"     // null follows
	BundleItemLarge    Fault = "cabundle-item-large"    // the zone's has more than 1024 bytes
	BundleLong         Fault = "cabundle-long"          // 12 certificates
	OtherRoot          Fault = "other-root"             // another root of the same name and key ID heads the chain
	OtherRootUnderOurs Fault = "other-root-behind-ours" // our root is in its place, but another of the same name has signed the region's
)

// Faults of single certificates: a rank stands before them, as in "zone-expired".
const (
	expired     = "expired"
	notYetValid = "not-yet-valid"
	forged      = "forged"      // not signed by the rank above
	misnamed    = "misnamed"    // its issuer is not the subject of the rank above
	p256        = "p256"        // its key is on the curve P-256, and has signed the certificate below
	p521        = "p521"        // … P-521
	sha256Hash  = "sha256"      // it is signed over SHA-256
	sha512Hash  = "sha512"      // … SHA-512
	critical    = "critical"    // it has a critical extension that nobody knows
	withoutCA   = "not-ca"      // a CA's certificate that does not say so
	bare        = "bare"        // it has no basic constraints
	noUsage     = "no-usage"    // it does not say what its key is for
	otherUsage  = "other-usage" // its key is for agreement
	shortPath   = "short-path"  // the chain below it is longer than it allows
	isCA        = "ca"          // the leaf is a CA's
	signsCerts  = "signs-certs" // the leaf's key may sign certificates
	rsaKey      = "rsa"         // the leaf's key is of RSA
	ed25519Key  = "ed25519"     // … of Ed25519
)

func certificateFaults() []spoil {
	late := func(key string, change func(*plan) any) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.late = func(p *plan) { p.set(key, change(p)) } }
	}
	always := func(key string, value any) func(*Module, *plan) {
		return late(key, func(*plan) any { return value })
	}
	drop := func(key string) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.late = func(p *plan) { p.drop(key) } }
	}
	bundle := func(change func([][]byte) [][]byte) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.bundle = change }
	}
	follows := func(der []byte) func(*Module, *plan) {
		return bundle(func(b [][]byte) [][]byte { return append(b, der) })
	}
	all := []spoil{
		{CertificateAbsent, drop("certificate")},
		{CertificateNull, always("certificate", nil)},
		{CertificateEmpty, always("certificate", []byte{})},
		{CertificateGarbage, always("certificate", []byte("certificate"))},
		{CertificateTrails, late("certificate", func(p *plan) any { return append(slices.Clone(p.get("certificate").([]byte)), 0) })},
		{CertificateLarge, large(rankLeaf)},
		{CertificateOfCA, func(m *Module, p *plan) {
			p.by = m.keys.keys[rankInstance]
			p.late = func(p *plan) {
				b := p.get("cabundle").([][]byte)
				p.set("certificate", b[len(b)-1])
				p.set("cabundle", b[:len(b)-1])
			}
		}},
		{BundleAbsent, drop("cabundle")},
		{BundleNull, always("cabundle", nil)},
		{BundleEmpty, always("cabundle", [][]byte{})},
		{BundleRootless, bundle(func(b [][]byte) [][]byte { return b[1:] })},
		{BundleReversed, bundle(func(b [][]byte) [][]byte { slices.Reverse(b); return b })},
		{BundleSwapped, bundle(func(b [][]byte) [][]byte { b[1], b[2] = b[2], b[1]; return b })},
		{BundleGap, bundle(func(b [][]byte) [][]byte { return slices.Delete(b, 2, 3) })},
		{BundleTwice, bundle(func(b [][]byte) [][]byte { return slices.Insert(b, 2, b[2]) })},
		{BundleWithLeaf, late("cabundle", func(p *plan) any { return append(p.get("cabundle").([][]byte), p.get("certificate").([]byte)) })},
		{BundleStranger, func(m *Module, p *plan) { p.bundle = m.withStranger }},
		{BundleItemEmpty, follows([]byte{})},
		{BundleItemNull, follows(nil)},
		{BundleItemLarge, large(rankZone)},
		{BundleLong, bundle(func(b [][]byte) [][]byte { return slices.Repeat(b, 3) })},
		{OtherRoot, func(m *Module, p *plan) {
			p.own = true
			p.certs[rankRegion].by = m.keys.keys[stranger]
			p.bundle = func(b [][]byte) [][]byte { b[0] = m.otherRoot(); return b }
		}},
		{OtherRootUnderOurs, func(m *Module, p *plan) {
			p.own = true
			p.certs[rankRegion].by = m.keys.keys[stranger]
			p.bundle = func(b [][]byte) [][]byte { return slices.Insert(b, 1, m.otherRoot()) }
		}},
	}
	for _, rank := range ranks[1:] {
		all = append(all, singleFaults(rank)...)
	}
	return all
}

// singleFaults are those of one certificate below the root.
func singleFaults(rank string) []spoil {
	change := func(name string, apply func(m *Module, p *plan, c *certPlan)) spoil {
		return spoil{Fault(rank + "-" + name), func(m *Module, p *plan) {
			p.own = true
			apply(m, p, p.certs[rank])
		}}
	}
	template := func(name string, apply func(*x509.Certificate)) spoil {
		return change(name, func(_ *Module, _ *plan, c *certPlan) { apply(c.template) })
	}
	onCurve := func(name string, curve elliptic.Curve) spoil {
		return change(name, func(m *Module, p *plan, c *certPlan) {
			key := m.otherKey(curve)
			c.public = key.Public()
			if rank != rankLeaf { // whose document is signed for P-384 all the same, or its signature would have another size
				p.certs[ranks[slices.Index(ranks, rank)+1]].by = key
			}
		})
	}
	all := []spoil{
		change(expired, func(_ *Module, p *plan, c *certPlan) { c.template.NotAfter = p.at.Add(-2 * time.Second) }),
		change(notYetValid, func(_ *Module, p *plan, c *certPlan) { c.template.NotBefore = p.at.Add(2 * time.Second) }),
		change(forged, func(m *Module, _ *plan, c *certPlan) { c.by = m.keys.keys[stranger] }),
		change(misnamed, func(_ *Module, _ *plan, c *certPlan) {
			c.issuer = name("somebody else", "simulated", "not Amazon", "XX")
		}),
		onCurve(p256, elliptic.P256()),
		onCurve(p521, elliptic.P521()),
		template(sha256Hash, func(t *x509.Certificate) { t.SignatureAlgorithm = x509.ECDSAWithSHA256 }),
		template(sha512Hash, func(t *x509.Certificate) { t.SignatureAlgorithm = x509.ECDSAWithSHA512 }),
		template(critical, func(t *x509.Certificate) {
			t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 9999, 1}, Critical: true, Value: []byte{5, 0}}}
		}),
		template(noUsage, func(t *x509.Certificate) { t.KeyUsage = 0 }),
		template(otherUsage, func(t *x509.Certificate) { t.KeyUsage = x509.KeyUsageKeyAgreement }),
	}
	switch rank {
	case rankLeaf:
		return append(all, template(isCA, func(t *x509.Certificate) {
			t.IsCA, t.KeyUsage = true, t.KeyUsage|x509.KeyUsageCertSign
		}), template(signsCerts, func(t *x509.Certificate) { t.KeyUsage |= x509.KeyUsageCertSign }),
			change(rsaKey, func(_ *Module, _ *plan, c *certPlan) { c.public = rsaPublic() }),
			change(ed25519Key, func(_ *Module, _ *plan, c *certPlan) { c.public = ed25519.PublicKey(make([]byte, 32)) }))
	case rankRegion, rankZone:
		all = append(all, template(shortPath, func(t *x509.Certificate) { t.MaxPathLen, t.MaxPathLenZero = 0, true }))
	}
	return append(all,
		template(withoutCA, func(t *x509.Certificate) { t.IsCA, t.MaxPathLen, t.MaxPathLenZero = false, -1, false }),
		template(bare, func(t *x509.Certificate) { t.BasicConstraintsValid, t.IsCA = false, false }))
}

// large gives the certificate of a rank an extension of 600 bytes.
func large(rank string) func(*Module, *plan) {
	return func(_ *Module, p *plan) {
		p.own = true
		p.certs[rank].template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 9999, 1}, Value: make([]byte, 600)}}
	}
}

// otherRoot is the certificate of another root with the name of ours.
func (m *Module) otherRoot() []byte {
	plans := m.certPlans(m.config.Now())
	plans[rankRoot].public, plans[rankRoot].by = m.keys.keys[stranger].Public(), m.keys.keys[stranger]
	return m.mustIssue(plans, rankRoot)
}

// withStranger adds the certificate of another instance of the zone.
func (m *Module) withStranger(bundle [][]byte) [][]byte {
	plans := m.certPlans(m.config.Now())
	plans[rankInstance].subject = name("another instance", "simulated", "not Amazon", "XX")
	plans[rankInstance].public = m.keys.keys[stranger].Public()
	return append(bundle, m.mustIssue(plans, rankInstance))
}

func (m *Module) mustIssue(plans map[string]*certPlan, rank string) []byte {
	der, err := m.issue(plans, rank)
	if err != nil {
		panic("nitrotest: " + err.Error()) // of a fault of this package, so that every test of it fails
	}
	return der
}

// otherKey is the stranger's key on another curve.
func (m *Module) otherKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := m.keys.derive(curve, stranger+" "+curve.Params().Name)
	if err != nil {
		panic("nitrotest: " + err.Error()) // with a chance of one in 2²⁵⁶
	}
	return key
}

// rsaPublic has the form of a key; nobody has its private half.
func rsaPublic() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 2048)
	return &rsa.PublicKey{N: n.Sub(n, big.NewInt(1)), E: 65537}
}
