package simulated

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// plan is everything that will be signed, and by whom. A sound plan is made
// from the configuration; a fault changes one thing in it before it is built.
type plan struct {
	now time.Time

	// Certificates. The root of the evidence is the platform's own unless a fault says otherwise.
	rootKey  keyName
	ca       string // "platform" or "processor"
	caName   string
	caKey    keyName
	caIsCA   bool
	signer   signerPlan // of the TCB info
	qeSigner signerPlan // of the QE identity; where the two plans are the same, so is the certificate
	pckBy    keyName
	pckLife  life
	pck      sgxExtension
	pckBare  bool // the PCK certificate has no SGX extension

	rootCRL       crlPlan
	revokeCA      bool
	pckCRL        crlPlan
	revokePCK     bool
	pckCRLOfOther bool // the PCK CRL is that of the other PCK CA
	tcbInfo       *tcbInfo
	tcbInfoBy     keyName
	qeIdentity    *qeIdentity
	qeIdentityBy  keyName
	tamper        func(*dcap.Collateral) // after signing

	qe         enclaveReport // report data is filled in when built
	qeBy       keyName
	qeData     func(*[64]byte) // nil, or spoils the report data
	boundKey   keyName         // which attestation key the quoting enclave vouches for
	header     quoteHeader
	enclave    enclaveReport
	quoteBy    keyName
	spoilQuote func([]byte) // after signing
}

// signerPlan is a TCB signing certificate.
type signerPlan struct {
	name   string
	key    keyName
	by     keyName
	life   life
	revoke bool
}

// ownQESigner gives the QE identity a signer of its own, as sound as that of the TCB info.
func (p *plan) ownQESigner() *signerPlan {
	p.qeSigner.key, p.qeIdentityBy = qeSignerKey, qeSignerKey
	return &p.qeSigner
}

type crlPlan struct {
	by   keyName
	life life
	omit bool
}

// Dates of the root and of the PCK CAs are fixed, so that the root is the same whenever it is made from one seed.
var (
	rootLife = life{time.Date(2018, 5, 21, 10, 45, 10, 0, time.UTC), time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)}
	caLife   = life{time.Date(2018, 5, 21, 10, 50, 10, 0, time.UTC), rootLife.to}
)

// wholeSeconds is the resolution of every date in the evidence.
func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func collateralLife(now time.Time) life {
	return life{now.Add(-24 * time.Hour), now.Add(30 * 24 * time.Hour)}
}

// certificateLife is that of PCK and TCB signing certificates.
func certificateLife(now time.Time) life {
	return life{now.Add(-24 * time.Hour), now.AddDate(7, 0, 0)}
}

func expired(now time.Time) life {
	return life{now.Add(-60 * 24 * time.Hour), now.Add(-time.Hour)}
}

func notYetValid(now time.Time) life {
	return life{now.Add(time.Hour), now.Add(30 * 24 * time.Hour)}
}

// newPlan checks the configuration, fills in what it leaves open, and returns the plan with the seed.
func newPlan(c Config) (*plan, []byte, error) {
	now := c.Now
	if now.IsZero() {
		now = time.Now()
	}
	now = wholeSeconds(now)
	if y := now.Year(); y < 2019 || y > 2040 {
		return nil, nil, fmt.Errorf("now: got %d, want a year from 2019 to 2040", y)
	}
	seed := c.Seed
	if seed == nil {
		seed = make([]byte, 32)
		rand.Read(seed) // never fails
	}
	if len(seed) < 32 {
		return nil, nil, fmt.Errorf("seed: got %d bytes, want at least 32", len(seed))
	}
	p := soundPlan(now)
	if err := p.configure(c); err != nil {
		return nil, nil, err
	}
	if err := c.Fault.apply(p); err != nil {
		return nil, nil, err
	}
	return p, seed, nil
}

// soundPlan is an up-to-date platform.
func soundPlan(now time.Time) *plan {
	collateral := collateralLife(now)
	qeSigner := sha256.Sum256([]byte("MRSIGNER of confidential-token-broker's simulated quoting enclave"))
	signer := signerPlan{name: tcbSignerName, key: tcbSignerKey, by: rootKey, life: certificateLife(now)}
	return &plan{
		now:          now,
		rootKey:      rootKey,
		caIsCA:       true,
		signer:       signer,
		qeSigner:     signer,
		pckLife:      certificateLife(now),
		pck:          sgxExtension{fmspc: [6]byte{0xf0, 0xc7, 0xb0, 0xde}},
		rootCRL:      crlPlan{by: rootKey, life: collateral},
		pckCRL:       crlPlan{life: collateral},
		tcbInfo:      newTCBInfo(collateral),
		tcbInfoBy:    tcbSignerKey,
		qeIdentity:   newQEIdentity(collateral, strings.ToUpper(hex.EncodeToString(qeSigner[:]))),
		qeIdentityBy: tcbSignerKey,
		qe: enclaveReport{
			flags:     flagInit | flagMode64 | flagProvisionKey,
			xfrm:      0xe7,
			mrenclave: sha256.Sum256([]byte("MRENCLAVE of confidential-token-broker's simulated quoting enclave")),
			mrsigner:  qeSigner,
			isvProdID: 1,
		},
		qeBy:     pckKey,
		boundKey: attestationKey,
		header:   quoteHeader{version: 3, attestationKey: 2, qeVendor: intelQEVendor},
		enclave:  enclaveReport{flags: flagInit | flagMode64, xfrm: 0xe7},
		quoteBy:  attestationKey,
	}
}

// configure sets what the configuration says of a sound platform.
func (p *plan) configure(c Config) error {
	switch c.CA {
	case "", "platform":
		p.ca, p.caName, p.caKey = "platform", platformCAName, platformCAKey
	case "processor":
		p.ca, p.caName, p.caKey = "processor", processorCAName, processorCAKey
	default:
		return fmt.Errorf("CA: got %q, want \"platform\" or \"processor\"", c.CA)
	}
	p.pckBy, p.pckCRL.by = p.caKey, p.caKey

	if err := p.setStatus(c.Status); err != nil {
		return err
	}
	if err := p.setQEStatus(c.QEStatus); err != nil {
		return err
	}
	p.enclave.mrenclave, p.enclave.mrsigner = c.MRENCLAVE, c.MRSIGNER
	if c.MRENCLAVE == ([32]byte{}) {
		p.enclave.mrenclave = DevMRENCLAVE
	}
	if c.MRSIGNER == ([32]byte{}) {
		p.enclave.mrsigner = DevMRSIGNER
	}
	p.enclave.isvProdID, p.enclave.isvsvn = c.ISVProdID, c.ISVSVN
	if c.Debug {
		p.enclave.flags |= flagDebug
	}
	return nil
}

// setStatus gives the processor the security versions of a level.
func (p *plan) setStatus(want tee.Status) error {
	if want == "" {
		want = tee.UpToDate
	}
	for _, l := range levels {
		if l.status == want {
			p.setSVN(l.svn)
			return nil
		}
	}
	return fmt.Errorf("status: got %q, want one of Intel's seven", want)
}

func (p *plan) setSVN(s svn) {
	p.pck.tcb, p.pck.pcesvn = s.components(), s.pce
	p.qe.cpusvn, p.enclave.cpusvn = s.components(), s.components()
	p.header.pcesvn = s.pce
}

// setQEStatus gives the quoting enclave the security version of a level.
func (p *plan) setQEStatus(want tee.Status) error {
	if want == "" {
		want = tee.UpToDate
	}
	for _, l := range qeLevels {
		if l.status == want {
			p.setQESVN(l.isvsvn)
			return nil
		}
	}
	return fmt.Errorf("QE status: got %q, want UpToDate, OutOfDate or Revoked", want)
}

func (p *plan) setQESVN(v uint16) { p.qe.isvsvn, p.header.qesvn = v, v }
