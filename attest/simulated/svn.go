package simulated

import (
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// svn is a platform's security versions, reduced to what tells its levels
// apart: the microcode (components 0 and 1), the BIOS configuration (component 6), the PCE, and for TDX its own microcode (its component 2).
type svn struct {
	microcode, configuration uint8
	pce                      uint16
	tdx                      uint8
}

// components spreads the versions over the 16 components of SGX, the others as on genuine platforms.
func (s svn) components() [16]byte {
	return [16]byte{s.microcode, s.microcode, 3, 3, 255, 255, s.configuration}
}

// tdxComponents are the 16 of TDX at a level. The first two are the TDX module's: they
// count for modules that have no identity of their own, and must not count for others.
func (l level) tdxComponents() [16]byte { return [16]byte{l.module, 0, l.svn.tdx} }

// level is a TCB level of the simulated platform.
type level struct {
	status     tee.Status
	svn        svn
	module     uint8 // TDX: component 0, the version of a module of the first generation
	date       string
	advisories []string
}

// levels are those of the simulated platform, best first. A platform that has
// exactly the versions of a level reaches that one and none before it.
var levels = []level{
	{tee.UpToDate, svn{16, 3, 13, 2}, 5, "2024-03-13T00:00:00Z", nil},
	{tee.SWHardeningNeeded, svn{16, 2, 13, 2}, 5, "2024-03-13T00:00:00Z", []string{"INTEL-SA-00615"}},
	{tee.ConfigurationNeeded, svn{16, 1, 13, 2}, 5, "2024-03-13T00:00:00Z", []string{"INTEL-SA-00657"}},
	{tee.ConfigurationAndSWHardeningNeeded, svn{16, 0, 13, 2}, 5, "2024-03-13T00:00:00Z", []string{"INTEL-SA-00657", "INTEL-SA-00767", "INTEL-SA-00615"}},
	{tee.OutOfDate, svn{12, 3, 13, 1}, 3, "2023-02-15T00:00:00Z", []string{"INTEL-SA-00828", "INTEL-SA-00615"}},
	{tee.OutOfDateConfigurationNeeded, svn{12, 0, 13, 1}, 3, "2023-02-15T00:00:00Z", []string{"INTEL-SA-00657", "INTEL-SA-00828", "INTEL-SA-00615"}},
	{tee.Revoked, svn{4, 0, 5, 1}, 3, "2018-01-04T00:00:00Z", []string{"INTEL-SA-00106", "INTEL-SA-00203"}},
}

// partLevel is a TCB level of what has one security version: a quoting enclave or a TDX module.
type partLevel struct {
	status     tee.Status
	isvsvn     uint16
	date       string
	advisories []string
}

// qeLevels are those of the simulated quoting enclave, best first.
var qeLevels = []partLevel{
	{tee.UpToDate, 8, "2024-03-13T00:00:00Z", nil},
	{tee.OutOfDate, 6, "2021-11-10T00:00:00Z", []string{"INTEL-SA-00477"}},
	{tee.Revoked, 2, "2019-05-15T00:00:00Z", []string{"INTEL-SA-00219", "INTEL-SA-00477"}},
}

// firstModule names a module of the first generation, for which Intel has no identity.
const firstModule = "TDX_00"

// module is a generation of the TDX module. Its identity is Intel's, its security versions are not.
type module struct {
	id     string
	major  uint8 // TEE_TCB_SVN[1]
	levels []partLevel
}

// modules are those with an identity, in the order of Intel's documents: the newest first. Some of
// the versions are below those of the platform's levels, as on genuine hardware: nobody may compare the two.
var modules = []module{
	{"TDX_03", 3, []partLevel{
		{tee.UpToDate, 5, "2024-03-13T00:00:00Z", nil},
		{tee.OutOfDate, 3, "2023-08-09T00:00:00Z", []string{"INTEL-SA-01036"}},
		{tee.Revoked, 1, "2023-02-15T00:00:00Z", []string{"INTEL-SA-01036", "INTEL-SA-01099"}},
	}},
	{"TDX_01", 1, []partLevel{
		{tee.UpToDate, 6, "2024-03-13T00:00:00Z", nil},
		{tee.OutOfDate, 4, "2023-08-09T00:00:00Z", []string{"INTEL-SA-01036"}},
		{tee.Revoked, 2, "2023-02-15T00:00:00Z", []string{"INTEL-SA-01036", "INTEL-SA-01099"}},
	}},
}

// levelOf finds the level of a platform's status.
func levelOf(want tee.Status) (level, error) {
	for _, l := range levels {
		if l.status == want {
			return l, nil
		}
	}
	return level{}, fmt.Errorf("status: got %q, want one of Intel's seven", want)
}

// versionOf finds the security version of a status.
func versionOf(what string, all []partLevel, want tee.Status) (uint16, error) {
	for _, l := range all {
		if l.status == want {
			return l.isvsvn, nil
		}
	}
	return 0, fmt.Errorf("%s: got %q, want UpToDate, OutOfDate or Revoked", what, want)
}

func moduleOf(id string) (module, error) {
	for _, m := range modules {
		if m.id == id {
			return m, nil
		}
	}
	return module{}, fmt.Errorf("module: got %q, want TDX_00, TDX_01 or TDX_03", id)
}
