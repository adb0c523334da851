package nitrotest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The ranks of certificates, as AWS's PKI of Nitro Enclaves has them.
const (
	rankRoot     = "root"
	rankRegion   = "region"
	rankZone     = "zone"
	rankInstance = "instance"
	rankLeaf     = "leaf" // of the module, whose key signs documents
)

// ranks are in the order of the chain, from the root on.
var ranks = []string{rankRoot, rankRegion, rankZone, rankInstance, rankLeaf}

// life is a span of time, both ends included.
type life struct{ from, to time.Time }

func (l life) window() tee.Window { return tee.Window{NotBefore: l.from, NotAfter: l.to} }

// rootLife is as long as that of AWS's root.
func rootLife() life {
	return life{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// lifeAt is the one on a grid that holds the instant, so that documents of nearby instants share their certificates,
// whichever is made first.
func lifeAt(at time.Time, every, long time.Duration) life {
	from := at.UTC().Truncate(every)
	return life{from, from.Add(long)}
}

func leafLife(at time.Time) life { return lifeAt(at, time.Hour, 3*time.Hour) }

// lives are as long as AWS's, and each has at the instant more to come than that of the next rank.
func lives(at time.Time) map[string]life {
	const day = 24 * time.Hour
	return map[string]life{
		rankRoot:     rootLife(),
		rankRegion:   lifeAt(at, 5*day, 20*day),
		rankZone:     lifeAt(at, day, 6*day),
		rankInstance: lifeAt(at, day/2, day),
		rankLeaf:     leafLife(at),
	}
}

// certPlan is one certificate before it is made.
type certPlan struct {
	template *x509.Certificate
	subject  pkix.RDNSequence
	issuer   pkix.RDNSequence  // nil: the subject of the rank before
	public   any               // the key that it certifies
	by       *ecdsa.PrivateKey // signs it
}

// chain is what a document carries: the certificates in DER, from the root to the leaf.
type chain struct {
	life life // of a sound leaf
	der  [][]byte
}

// certPlans are the certificates of a sound chain.
func (m *Module) certPlans(at time.Time) map[string]*certPlan {
	plans := map[string]*certPlan{}
	lives := lives(at)
	for i, rank := range ranks {
		public := m.keys.keys[rank].Public()
		c := &certPlan{
			template: &x509.Certificate{
				SerialNumber:          serial(rank, lives[rank]),
				NotBefore:             lives[rank].from,
				NotAfter:              lives[rank].to,
				KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
				BasicConstraintsValid: true,
				IsCA:                  true,
				MaxPathLen:            3 - i, // 2, 1, 0 below the root
				MaxPathLenZero:        true,
				SignatureAlgorithm:    x509.ECDSAWithSHA384,
			},
			subject: m.names()[rank],
			public:  public,
			by:      m.keys.keys[rank],
		}
		if i > 0 {
			c.by = m.keys.keys[ranks[i-1]]
		}
		switch rank {
		case rankRoot: // no bound on the path
			c.template.MaxPathLen, c.template.MaxPathLenZero = -1, false
		case rankInstance:
			c.template.KeyUsage = x509.KeyUsageCertSign
		case rankLeaf:
			c.template.IsCA, c.template.MaxPathLen, c.template.MaxPathLenZero = false, -1, false
			c.template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
		}
		plans[rank] = c
	}
	return plans
}

// makeRoot makes the root's certificate, which no fault changes.
func (m *Module) makeRoot() (*x509.Certificate, error) {
	der, err := m.issue(m.certPlans(m.config.Now()), rankRoot)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// issue makes the certificate of a rank.
func (m *Module) issue(plans map[string]*certPlan, rank string) ([]byte, error) {
	plan := plans[rank]
	above := plan.issuer
	for i := range ranks[1:] {
		if ranks[i+1] == rank && above == nil {
			above = plans[ranks[i]].subject
		}
	}
	if above == nil {
		above = plan.subject
	}
	var err error
	if plan.template.RawSubject, err = asn1.Marshal(plan.subject); err != nil {
		return nil, err
	}
	parent := &x509.Certificate{SubjectKeyId: plan.template.AuthorityKeyId}
	if parent.RawSubject, err = asn1.Marshal(above); err != nil {
		return nil, err
	}
	// Without a source of randomness ECDSA signatures are deterministic (RFC 6979).
	der, err := x509.CreateCertificate(nil, plan.template, parent, plan.public, plan.by)
	if err != nil {
		return nil, fmt.Errorf("certificate of the %s: %w", rank, err)
	}
	return der, nil
}

// issueAll makes the chain below the root.
func (m *Module) issueAll(plans map[string]*certPlan, at time.Time) (*chain, error) {
	c := &chain{life: leafLife(at), der: [][]byte{m.root.Raw}}
	for _, rank := range ranks[1:] {
		der, err := m.issue(plans, rank)
		if err != nil {
			return nil, err
		}
		c.der = append(c.der, der)
	}
	return c, nil
}

// names are the subjects of the ranks, in the form of AWS's.
func (m *Module) names() map[string]pkix.RDNSequence {
	const region = ".nowhere-1.simulated.nitro-enclaves"
	root := name("simulated.nitro-enclaves", "confidential-token-broker development root", "not Amazon", "XX")
	if m.config.Lookalike {
		root = name("aws.nitro-enclaves", "AWS", "Amazon", "US")
	}
	below := func(common string) pkix.RDNSequence { return name(common, "simulated", "not Amazon", "XX") }
	instance, _, _ := strings.Cut(m.config.ModuleID, "-enc")
	return map[string]pkix.RDNSequence{
		rankRoot:     root,
		rankRegion:   below("0000000000000c7b" + region),
		rankZone:     below("000000000000c7b0.zonal" + region),
		rankInstance: below(instance + region),
		rankLeaf:     below(m.config.ModuleID + ".nowhere-1.simulated"),
	}
}

// name has AWS's attributes in AWS's order and types.
func name(common, unit, organization, country string) pkix.RDNSequence {
	attribute := func(arc int, tag int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{
			Type:  asn1.ObjectIdentifier{2, 5, 4, arc},
			Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)},
		}}
	}
	return pkix.RDNSequence{
		attribute(6, asn1.TagPrintableString, country), // countryName
		attribute(10, asn1.TagUTF8String, organization),
		attribute(11, asn1.TagUTF8String, unit),
		attribute(3, asn1.TagUTF8String, common),
	}
}

// serial depends on whose certificate it is and from when.
func serial(rank string, l life) *big.Int {
	digest := sha256.Sum256(fmt.Append(nil, rank, l.from.Unix()))
	return new(big.Int).SetBytes(digest[:16])
}
