package simulated

import (
	"encoding/hex"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Variant is one state of a platform, and what a correct verifier that trusts
// the platform's root says of it at Config.Now.
type Variant struct {
	Name   string // such as "status OutOfDate" or "fault pck-revoked"
	Config Config // Seed and Now are the user's to set

	Genuine bool    // false: it must be refused, and nothing below has a meaning
	TCB     tee.TCB // without Shortfalls
	PCKCA   string
	Debug   bool
}

// Variants returns all of them: the sound platforms first, then one for each fault.
func Variants() []Variant {
	var all []Variant
	all = append(all, statusVariants()...)
	all = append(all, otherVariants()...)
	for _, f := range Faults() {
		all = append(all, Variant{Name: "fault " + string(f), Config: Config{Fault: f}})
	}
	return all
}

// converged is written out, not computed, so that it can be held against
// Intel's (convergeTcbStatus in the SGX-TDX DCAP Quote Verification Library). A
// quoting enclave that is up to date leaves the platform's status as it is, a revoked one revokes.
var converged = []struct{ platform, qeOutOfDate tee.Status }{
	{tee.UpToDate, tee.OutOfDate},
	{tee.SWHardeningNeeded, tee.OutOfDate},
	{tee.ConfigurationNeeded, tee.OutOfDateConfigurationNeeded},
	{tee.ConfigurationAndSWHardeningNeeded, tee.OutOfDateConfigurationNeeded},
	{tee.OutOfDate, tee.OutOfDate},
	{tee.OutOfDateConfigurationNeeded, tee.OutOfDateConfigurationNeeded},
	{tee.Revoked, tee.Revoked},
}

// advisories of the platform's level alone, together with those of a quoting
// enclave that is out of date, and with those of a revoked one; sorted.
var advisories = map[tee.Status][3][]string{
	tee.UpToDate:                          {nil, {"INTEL-SA-00477"}, {"INTEL-SA-00219", "INTEL-SA-00477"}},
	tee.SWHardeningNeeded:                 {{"INTEL-SA-00615"}, {"INTEL-SA-00477", "INTEL-SA-00615"}, {"INTEL-SA-00219", "INTEL-SA-00477", "INTEL-SA-00615"}},
	tee.ConfigurationNeeded:               {{"INTEL-SA-00657"}, {"INTEL-SA-00477", "INTEL-SA-00657"}, {"INTEL-SA-00219", "INTEL-SA-00477", "INTEL-SA-00657"}},
	tee.ConfigurationAndSWHardeningNeeded: {{"INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767"}, {"INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767"}, {"INTEL-SA-00219", "INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767"}},
	tee.OutOfDate:                         {{"INTEL-SA-00615", "INTEL-SA-00828"}, {"INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-00828"}, {"INTEL-SA-00219", "INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-00828"}},
	tee.OutOfDateConfigurationNeeded:      {{"INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00828"}, {"INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00828"}, {"INTEL-SA-00219", "INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00828"}},
	tee.Revoked:                           {{"INTEL-SA-00106", "INTEL-SA-00203"}, {"INTEL-SA-00106", "INTEL-SA-00203", "INTEL-SA-00477"}, {"INTEL-SA-00106", "INTEL-SA-00203", "INTEL-SA-00219", "INTEL-SA-00477"}},
}

// statusVariants are every platform status with every status of the quoting enclave.
func statusVariants() []Variant {
	var all []Variant
	for _, c := range converged {
		for i, qe := range []tee.Status{tee.UpToDate, tee.OutOfDate, tee.Revoked} {
			v := sound("status "+string(c.platform), Config{Status: c.platform, QEStatus: qe})
			v.TCB.Platform, v.TCB.QE = c.platform, qe
			v.TCB.Status = [3]tee.Status{c.platform, c.qeOutOfDate, tee.Revoked}[i]
			v.TCB.Advisories = advisories[c.platform][i]
			if qe != tee.UpToDate {
				v.Name += ", QE " + string(qe)
			}
			all = append(all, v)
		}
	}
	return all
}

// otherVariants are up to date, and differ in other ways.
func otherVariants() []Variant {
	processor := sound("processor CA", Config{CA: "processor"})
	processor.PCKCA = "processor"
	debug := sound("debug", Config{Debug: true})
	debug.Debug = true
	all := []Variant{processor, debug}
	for _, s := range SampleSigners() {
		all = append(all, sound("sample signer of "+s.Name, Config{MRSIGNER: s.MRSIGNER}))
	}
	return all
}

func sound(name string, c Config) Variant {
	return Variant{
		Name: name, Config: c, Genuine: true, PCKCA: "platform",
		TCB: tee.TCB{
			Status: tee.UpToDate, Platform: tee.UpToDate, QE: tee.UpToDate,
			EvaluationNumber: EvaluationNumber,
		},
	}
}

// SampleSigner is a signing key that its owner published, so that its MRSIGNER says nothing.
type SampleSigner struct {
	Name     string
	MRSIGNER [32]byte
}

// SampleSigners returns those that are known by name.
func SampleSigners() []SampleSigner {
	return []SampleSigner{
		{"the SGX SDK", digest("83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e")},
		{"Open Enclave", digest("ca9ad7331448980aa28890ce73e433638377f179ab4456b2fe237193193a8d0a")},
		{"Fortanix", digest("9affcfae47b848ec2caf1c49b4b283531e1cc425f93582b36806e52a43d78d1a")},
	}
}

func digest(s string) (d [32]byte) {
	if n, err := hex.Decode(d[:], []byte(s)); err != nil || n != len(d) {
		panic("simulated: not a digest: " + s) // a literal above
	}
	return d
}
