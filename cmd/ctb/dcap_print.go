package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// printEnclave writes what identifies an SGX enclave, or a TDX trust domain.
func (x *finding) printEnclave(w *report.Writer) {
	for _, m := range []struct{ label, value string }{
		{"MRENCLAVE", x.MRENCLAVE}, {"MRSIGNER", x.MRSIGNER},
		{"ISVPRODID", number(x.ISVProdID)}, {"ISVSVN", number(x.ISVSVN)},
		{"MRTD", x.MRTD}, {"RTMR0", x.RTMR0}, {"RTMR1", x.RTMR1}, {"RTMR2", x.RTMR2}, {"RTMR3", x.RTMR3},
		{"MRCONFIGID", x.MRCONFIGID}, {"MROWNER", x.MROWNER}, {"MROWNERCONFIG", x.MROWNERCONFIG}, {"MRSEAM", x.MRSEAM}, {"MRSERVICETD", x.MRSERVICETD},
	} {
		if m.value != "" {
			w.Row(m.label, digits(m.value)...)
		}
	}
	if x.Attributes != "" {
		w.Row("attributes", bits(x.Attributes, tdAttributes))
	}
	if x.XFAM != "" {
		w.Row("XFAM", bits(x.XFAM, xfam))
	}
}

// printLevels says of which family the platform is, and how up to date each part of it is.
func (x *finding) printLevels(w *report.Writer) {
	w.Row("TCB status", string(x.TCB.Status)+statusWords(x.TCB.Status))
	for _, l := range x.TCB.Levels {
		l.print(w, x.TCB.Shortfalls)
	}
	w.List("what helps", x.TCB.Remedies)
	w.Row("FMSPC", fmt.Sprintf("%s, certified by the %s CA", x.FMSPC, x.PCKCA))
	x.printCollateral(w, fmt.Sprintf("evaluation number %d", *x.TCB.EvaluationNumber))
}

// print writes the level of a part, and what keeps the part from its newest one.
func (l *levelJSON) print(w *report.Writer, all []shortfallJSON) {
	reached := string(l.Status)
	if !l.Date.IsZero() {
		reached += ", level of " + day(l.Date)
	}
	if len(l.Advisories) == 0 {
		reached += ", no advisories"
	}
	lines := []string{reached}
	if len(l.Advisories) > 0 {
		lines = append(lines, strings.Join(l.Advisories, " "))
	}
	for _, s := range all {
		if s.Part == l.Part {
			lines = append(lines, s.String())
		}
	}
	w.Row(partName(l.Part), lines...)
}

func (s shortfallJSON) String() string {
	return fmt.Sprintf("%s: has %d, newest level wants %d", attest.Shortfall(s).Title(), s.Have, s.Want)
}

func partName(part string) string {
	switch part {
	case tee.PartModule:
		return "TDX module"
	case tee.PartQE:
		return "QE"
	}
	return part
}

// statusWords says what a status means for whoever relies on the platform.
func statusWords(s attest.Status) string {
	switch s {
	case attest.UpToDate:
		return ": nothing is missing"
	case attest.SWHardeningNeeded:
		return ": nothing is missing, but the software must defend itself against the advisories"
	case attest.ConfigurationNeeded:
		return ": nothing is missing, but its configuration leaves something open"
	case attest.ConfigurationAndSWHardeningNeeded:
		return ": nothing is missing, but its configuration leaves something open, and the software must defend itself"
	case attest.OutOfDate:
		return ": updates are missing"
	case attest.OutOfDateConfigurationNeeded:
		return ": updates are missing, and its configuration leaves something open"
	case attest.Revoked:
		return ": its maker no longer vouches for it"
	}
	return ""
}

// tdAttributes are the bits of a trust domain's ATTRIBUTES that have a name
// (Intel TDX Module ABI specification, "ATTRIBUTES").
var tdAttributes = map[int]string{
	0: "DEBUG", 4: "HGS_PLUS_PROF", 5: "PERF_PROF", 6: "PMT_PROF", 16: "ICSSD", 27: "LASS",
	28: "SEPT_VE_DISABLE", 29: "MIGRATABLE", 30: "PKS", 31: "KL", 62: "TPA", 63: "PERFMON",
}

// xfam are the processor features of XFAM, whose bits are those of XCR0 and
// IA32_XSS (Intel SDM volume 1, section 13.1).
var xfam = map[int]string{
	0: "x87", 1: "SSE", 2: "AVX", 3: "BNDREG", 4: "BNDCSR", 5: "AVX-512", 6: "AVX-512", 7: "AVX-512", 8: "PT", 9: "PKRU",
	10: "PASID", 11: "CET", 12: "CET", 13: "HDC", 14: "UINTR", 15: "LBR", 16: "HWP", 17: "AMX", 18: "AMX", 19: "APX",
}

// bits names the bits that are set in a little-endian number of 8 bytes, after its digits.
func bits(text string, names map[int]string) string {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 8 {
		return text
	}
	value := binary.LittleEndian.Uint64(raw)
	var set []string
	for i := range 64 {
		name := names[i]
		if name == "" {
			name = fmt.Sprintf("bit %d", i)
		}
		if value>>i&1 == 1 && (len(set) == 0 || set[len(set)-1] != name) {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return text + ": no bit is set"
	}
	return text + ": " + strings.Join(set, ", ")
}
