package main

import (
	"slices"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// platform is what this program knows of the evidence of one platform beside how it is verified: what it looks
// like, which facts only it has, and how they read. Each platform has a file of its own.
type platform struct {
	name  string   // as evidence names it, such as tee.DCAP
	tees  []string // as reports name them
	maker string   // of the hardware, who vouches for it

	recognise func(raw []byte) (*attest.Evidence, error) // nil and nil if it does not look like evidence of this platform
	claims    func(*attest.Evidence) *claimsJSON         // read without believing it; nil if it can't be read
	about     func(*attest.Report) string                // what the collateral of a report is about, as the notes of a chain have it
	facts     func(*finding, *attest.Report)             // copies what only this platform has
	printRuns func(*finding, *report.Writer)             // writes what runs
	printOn   func(*finding, *report.Writer)             // writes on what it runs
}

// known are the platforms that this program knows.
func known() []platform { return []platform{dcapPlatform(), snpPlatform(), nitroPlatform()} }

// platformOf returns the platform of a TEE. Verifiers report of no TEE that is not known here.
func platformOf(name string) platform {
	all := known()
	return all[max(0, slices.IndexFunc(all, func(p platform) bool { return slices.Contains(p.tees, name) }))]
}

// rawEvidence recognises evidence by itself, as the hardware made it. It returns nil for anything else; the
// error is about what begins like evidence and is not.
func rawEvidence(data []byte) (*attest.Evidence, error) {
	for _, p := range known() {
		if e, err := p.recognise(data); e != nil || err != nil {
			return e, err
		}
	}
	return nil, nil
}

// claims reads evidence without believing it. It returns nil if it can't be read.
func claims(e *attest.Evidence) *claimsJSON {
	if e == nil {
		return nil
	}
	for _, p := range known() {
		if p.name == e.Platform {
			return p.claims(e)
		}
	}
	return nil
}

func teeName(name string) string {
	switch name {
	case tee.SGX:
		return "Intel SGX"
	case tee.TDX:
		return "Intel TDX"
	case tee.SEVSNP:
		return "AMD SEV-SNP"
	case tee.NitroEnclave:
		return "AWS Nitro Enclave"
	}
	return name
}
