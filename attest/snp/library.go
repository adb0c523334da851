package snp

import (
	"bytes"
	"fmt"
	"time"

	"github.com/google/go-sev-guest/abi"
	sevkds "github.com/google/go-sev-guest/kds"
	"github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// verifySignature has go-sev-guest verify the report under the chain, which is verified already. The library is given the
// chain's own CA and root as its only trust, and no way to the network.
func verifySignature(r *Report, ch *kds.Chain, at time.Time) error {
	if ch.Product == kds.Turin {
		// It knows neither the FMC in the TCB of a Turin's certificate nor its chip id of 8 bytes.
		return signature(r, ch)
	}
	report, err := abi.ReportToProto(r.raw)
	if err != nil {
		return err
	}
	// The library verifies what it writes anew of what it read. That must be the report, bit for bit.
	if again, err := abi.ReportToAbiBytes(report); err != nil || !bytes.Equal(again, r.raw) {
		return fmt.Errorf("the library reads another report than it was given (%v)", err)
	}
	certs := &sevsnp.CertificateChain{ArkCert: ch.Root.Raw, AskCert: ch.CA.Raw}
	product := &trust.ProductCerts{Ark: ch.Root}
	if ch.SignedBy == kds.VLEK {
		certs.VlekCert, product.Asvk = ch.Leaf.Raw, ch.CA
	} else {
		certs.VcekCert, product.Ask = ch.Leaf.Raw, ch.CA
	}
	return verify.SnpAttestation(&sevsnp.Attestation{Report: report, CertificateChain: certs}, &verify.Options{
		DisableCertFetching: true, // what is missing is asked for by package kds
		Getter:              noNetwork{},
		Now:                 at,
		TrustedRoots:        map[string][]*trust.AMDRootCerts{libraryName(r, ch): {{ProductLine: ch.Product, ProductCerts: product}}},
	})
}

// signature has it verify the report's signature by the chain's leaf alone.
func signature(r *Report, ch *kds.Chain) error { return verify.SnpReportSignature(r.raw, ch.Leaf) }

// libraryName is what the library calls the product: it does not know all models of each (Bergamo and Siena are "Unknown" to it),
// and looks for its roots by that name. Whose roots they are is told by the chain.
func libraryName(r *Report, ch *kds.Chain) string {
	if fms := abi.FmsToCpuid1Eax(r.raw[0x188], r.raw[0x189], r.raw[0x18a]); r.Version >= 3 && fms != 0 {
		return sevkds.ProductLineFromFms(fms)
	}
	return ch.Product
}

// noNetwork is the library's way to the network.
type noNetwork struct{}

// Get implements [trust.HTTPSGetter].
func (noNetwork) Get(url string) ([]byte, error) {
	return nil, fmt.Errorf("%.100s: nothing is fetched here", url)
}
