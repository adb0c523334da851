package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// printEnclave says what runs: an SGX enclave, or a TDX trust domain.
func (x *finding) printEnclave(w *report.Writer) {
	w.Heading("What runs")
	w.Row("TEE", teeName(x.TEE))
	debug := "no"
	if *x.Debug {
		debug = "yes: its host can read its memory"
	}
	w.Row("debug", debug)
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
	w.Row("report data", digits(x.ReportData)...)
}

// digits breaks long hex into equal lines of at most 64 digits. Zeros are said in words.
func digits(text string) []string {
	if len(text) >= 64 && strings.Trim(text, "0") == "" {
		return []string{fmt.Sprintf("zero (%d bytes)", len(text)/2)}
	}
	n := (len(text) + 63) / 64
	if n < 2 {
		return []string{text}
	}
	var lines []string
	for size := (len(text) + n - 1) / n; len(text) > 0; {
		size = min(size, len(text))
		lines, text = append(lines, text[:size]), text[size:]
	}
	return lines
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
