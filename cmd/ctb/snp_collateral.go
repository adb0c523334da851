package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// chipJSON is what AMD's collateral is about: a family of processors and, if it has the certificate of one, a key.
type chipJSON struct {
	Product  string `json:"product"`
	SignedBy string `json:"signed_by"`         // "vcek" or "vlek"
	ChipID   string `json:"chip_id,omitempty"` // of a VCEK
	CSP      string `json:"csp,omitempty"`     // of a VLEK: the cloud that it was given to
	Key      bool   `json:"key"`               // it has the certificate of the key itself
	CRL      bool   `json:"crl"`               // it has the revocation list
}

// snpFacts verifies AMD's collateral, and copies what it says of itself.
func (x *shownJSON) snpFacts(c *kds.Collateral, root *x509.Certificate, at time.Time) *shownJSON {
	ch, err := c.Verify(root)
	if err != nil {
		if errors.Is(err, kds.ErrUntrustedRoot) && root == nil {
			x.fix = simulatedFix
		}
		return x.notValid(err)
	}
	x.Genuine = true
	if err := ch.Valid(at); err != nil {
		x.notValid(err)
	}
	if err := ch.Revoked(); err != nil {
		x.notValid(err)
	}
	x.Valid = len(x.Reasons) == 0
	x.Simulated, x.TEE = new(!ch.AMD), tee.SEVSNP
	x.Chip = &chipJSON{Product: ch.Product, SignedBy: ch.SignedBy, Key: ch.Leaf != nil, CRL: ch.CRL != nil}
	if ch.Key != nil {
		x.Chip.ChipID, x.Chip.CSP = hex.EncodeToString(ch.Key.HWID), ch.Key.CSP
	}
	x.windowJSON = new(windowOf(ch.Window()))
	x.Basis = basisFacts(ch.Basis())
	return x
}

func (x *shownJSON) printChip(w *report.Writer) {
	c := x.Chip
	w.Row("processor", productName(c.Product))
	switch {
	case !c.Key && c.SignedBy == kds.VLEK:
		w.Row("key", "a VLEK, whose certificate comes with the evidence")
	case !c.Key:
		w.Check(report.Warn, "key", "the certificate of the chip is not among it")
	case c.SignedBy == kds.VLEK:
		w.Row("key", "a VLEK of the cloud "+c.CSP)
	default:
		w.Row("chip", digits(c.ChipID)...)
	}
	if !c.CRL {
		w.Check(report.Warn, "revocation", "there is no revocation list: who judges by this checks no revocation")
		w.Fix("get it from AMD: ctb collateral fetch EVIDENCE --kds amd")
	}
}

// fetchChip asks for the collateral of the key that signed a report, and completes it by what came with that.
func (s *sources) fetchChip(ctx context.Context, p kds.Platform, brought *kds.Collateral, root *x509.Certificate, at time.Time) (*fetched, error) {
	c, err := s.snp.Collateral(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("collateral of the platform %v: %w", p, err)
	}
	c = c.Complete(brought)
	now, err := c.Verify(root)
	if err == nil {
		err = errors.Join(now.Valid(at), now.Revoked())
	}
	if err != nil {
		return nil, err
	}
	list := "there is no list"
	if now.CRL != nil {
		list = "list of " + show(now.CRL.ThisUpdate)
	}
	return &fetched{
		text: c.Marshal(), platform: "sev-snp " + p.String(), window: now.Window(), maker: "AMD", simulated: !now.AMD,
		edition: [2]string{"revocation", list},
		replaces: func(path string, old *evidence.File) error {
			if old.SNP == nil {
				return notReplaced(path, "of Intel's")
			}
			before, err := old.SNP.Verify(root)
			switch {
			case err != nil || before.Valid(at) != nil:
				return nil // it is of no use any more
			case before.Product != now.Product || before.SignedBy != now.SignedBy || before.Key != nil && now.Key != nil && string(before.Key.HWID) != string(now.Key.HWID):
				return notReplaced(path, before.Product+" "+before.SignedBy)
			case before.CRL != nil && (now.CRL == nil || before.CRL.ThisUpdate.After(now.CRL.ThisUpdate)):
				return fmt.Errorf("%s is newer than what the service has (%s; there one of %s), and is not replaced: --force does",
					path, list, show(before.CRL.ThisUpdate))
			}
			return nil
		},
	}, nil
}
