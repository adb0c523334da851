package simulated

import "github.com/confidential-token-broker/ctb/attest/tee"

// converged is written out, not computed, so that it can be held against
// Intel's (convergeTcbStatusWithQeTcbStatus and convergeTcbStatusWithTdxModuleStatus in the SGX-TDX DCAP Quote Verification Library). A
// quoting enclave or a TDX module that is up to date leaves the platform's status as it is, a revoked one revokes; an
// outdated one, or both, makes it what stands here.
var converged = []struct{ platform, outdated tee.Status }{
	{tee.UpToDate, tee.OutOfDate},
	{tee.SWHardeningNeeded, tee.OutOfDate},
	{tee.ConfigurationNeeded, tee.OutOfDateConfigurationNeeded},
	{tee.ConfigurationAndSWHardeningNeeded, tee.OutOfDateConfigurationNeeded},
	{tee.OutOfDate, tee.OutOfDate},
	{tee.OutOfDateConfigurationNeeded, tee.OutOfDateConfigurationNeeded},
	{tee.Revoked, tee.Revoked},
}

// advisories of SGX: of the platform's level alone, together with those of a quoting
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

// partStatuses are those that a quoting enclave and a TDX module can have.
var partStatuses = []tee.Status{tee.UpToDate, tee.OutOfDate, tee.Revoked}

// outcome tells which of three the status of all is, by that of the module and that of the quoting enclave,
// both in the order of partStatuses: the platform's own (0), the outdated one (1) or Revoked (2).
var outcome = [3][3]int{
	{0, 1, 2},
	{1, 1, 2},
	{2, 2, 2},
}

// lowered is the level that a TDX platform reaches whose microcode of TDX is that of the level OutOfDate: the first
// level, in the order of the document, all of whose versions are met.
var lowered = map[tee.Status]tee.Status{
	tee.UpToDate:                          tee.OutOfDate,
	tee.SWHardeningNeeded:                 tee.OutOfDateConfigurationNeeded,
	tee.ConfigurationNeeded:               tee.OutOfDateConfigurationNeeded,
	tee.ConfigurationAndSWHardeningNeeded: tee.OutOfDateConfigurationNeeded,
	tee.OutOfDate:                         tee.OutOfDate,
	tee.OutOfDateConfigurationNeeded:      tee.OutOfDateConfigurationNeeded,
	tee.Revoked:                           tee.Revoked,
}
