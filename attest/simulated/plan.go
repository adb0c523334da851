package simulated

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// plan is everything that will be signed, and by whom. A sound plan is made
// from the configuration; a fault changes one thing in it before it is built.
type plan struct {
	now  time.Time
	tee  string // "sgx" or "tdx"
	td15 bool

	// Certificates. The root of the evidence is the platform's own unless a fault says otherwise.
	rootKey  keyName
	ca       string // "platform" or "processor"
	caName   string
	caKey    keyName
	caIsCA   bool
	caLife   life
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

	quotePlan
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

// newPlan makes the plan of a settled configuration. The documents live for the given time.
func newPlan(c Config, documents life) (*plan, error) {
	p := soundPlan(c, documents)
	if err := p.configure(c); err != nil {
		return nil, err
	}
	if err := c.Fault.apply(p); err != nil {
		return nil, err
	}
	return p, nil
}

// soundPlan is an up-to-date platform of a settled configuration.
func soundPlan(c Config, documents life) *plan {
	qe := quotingEnclaves[c.TEE]
	signer := signerPlan{name: tcbSignerName, key: tcbSignerKey, by: rootKey, life: certificateLife(c.Now)}
	p := &plan{
		now:          c.Now,
		tee:          c.TEE,
		td15:         c.TD15,
		rootKey:      rootKey,
		caIsCA:       true,
		caLife:       caLife,
		signer:       signer,
		qeSigner:     signer,
		pckLife:      certificateLife(c.Now),
		rootCRL:      crlPlan{by: rootKey, life: documents},
		pckCRL:       crlPlan{life: documents},
		tcbInfo:      newTCBInfo(c, documents),
		tcbInfoBy:    tcbSignerKey,
		qeIdentity:   newQEIdentity(documents, qe.identity, strings.ToUpper(hex.EncodeToString(qe.mrsigner[:])), qe.product),
		qeIdentityBy: tcbSignerKey,
		quotePlan:    soundQuote(c, qe),
	}
	hex.Decode(p.pck.fmspc[:], []byte(c.FMSPC)) // settled
	return p
}

// configure sets the state of a sound platform to that of the configuration.
func (p *plan) configure(c Config) error {
	p.ca, p.caName, p.caKey = c.CA, platformCAName, platformCAKey
	if c.CA == "processor" {
		p.caName, p.caKey = processorCAName, processorCAKey
	}
	p.pckBy, p.pckCRL.by = p.caKey, p.caKey

	l, err := levelOf(c.Status)
	if err != nil {
		return err
	}
	p.setSVN(l.svn)
	qesvn, err := versionOf("QE status", qeLevels, c.QEStatus)
	if err != nil {
		return err
	}
	p.setQESVN(qesvn)
	if c.TEE == "tdx" {
		p.td = newTDReport(c)
		return p.setModule(c, l)
	}
	p.enclave.mrenclave, p.enclave.mrsigner = c.MRENCLAVE, c.MRSIGNER
	p.enclave.isvProdID, p.enclave.isvsvn = c.ISVProdID, c.ISVSVN
	p.enclave.flags, p.enclave.xfrm = flagInit|flagMode64, 0xe7
	if c.Debug {
		p.enclave.flags |= flagDebug
	}
	return nil
}

// setSVN gives the processor the security versions of a level.
func (p *plan) setSVN(s svn) {
	p.pck.tcb, p.pck.pcesvn = s.components(), s.pce
	p.qe.cpusvn, p.enclave.cpusvn = s.components(), s.components()
	if p.layout == 3 {
		p.header.pcesvn = s.pce
	}
}

// setQESVN gives the quoting enclave a security version.
func (p *plan) setQESVN(v uint16) {
	p.qe.isvsvn = v
	if p.layout == 3 {
		p.header.qesvn = v
	}
}

// setModule gives the trust domain the security versions of TDX: those of the platform's level, and of its module's.
func (p *plan) setModule(c Config, l level) error {
	if c.TDXOutOfDate {
		outOfDate, err := levelOf(tee.OutOfDate)
		if err != nil {
			return err
		}
		l.svn.tdx = outOfDate.svn.tdx
	}
	launched, newest := l.tdxComponents(), levels[0].tdxComponents()
	if c.Module != firstModule {
		m, err := moduleOf(c.Module)
		if err != nil {
			return err
		}
		v, err := versionOf("module status", m.levels, c.ModuleStatus)
		if err != nil {
			return err
		}
		launched[0], launched[1] = byte(v), m.major
		newest[0], newest[1] = byte(m.levels[0].isvsvn), m.major
	}
	p.td.teeTCBSVN, p.td.running = launched, launched
	if c.ModuleReplaced {
		p.td.running = newest
	}
	return nil
}
