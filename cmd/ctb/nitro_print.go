package main

import (
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// registers says what the platform configuration registers of a Nitro Enclave measure ("Cryptographic
// attestation", AWS Nitro Enclaves User Guide). Those from 16 on are not locked by the hardware.
var registers = map[string]string{
	"pcr0": "the enclave's image, all of it",
	"pcr1": "kernel and boot file system",
	"pcr2": "the application",
	"pcr3": "the role (IAM) of the parent instance",
	"pcr4": "the id of the parent instance",
	"pcr8": "the certificate that signed the image",
}

// printRegisters writes what identifies an enclave, and what it had signed along with that.
func (x *finding) printRegisters(w *report.Writer) {
	var zero []string
	for i := range 32 {
		name := fmt.Sprintf("pcr%d", i)
		value, there := x.Measurements[name]
		switch {
		case !there:
		case strings.Trim(value, "0") == "":
			zero = append(zero, fmt.Sprint(i))
		default:
			lines := digits(value)
			if what := registers[name]; what != "" {
				lines = append(lines, what)
			}
			w.Row(strings.ToUpper(name), lines...)
		}
	}
	if len(zero) > 0 {
		w.Row("zero PCRs", strings.Join(zero, " "))
	}
	n := x.Nitro
	for _, one := range []struct{ label, value string }{{"user data", n.UserData}, {"nonce", n.Nonce}, {"public key", n.PublicKey}} {
		if one.value != "" {
			w.Row(one.label, short(one.value)...)
		}
	}
}

// short is digits, but of what is long the beginning alone.
func short(value string) []string {
	if len(value) <= 128 {
		return digits(value)
	}
	return []string{value[:64], fmt.Sprintf("… %d bytes in all", len(value)/2)}
}

// printModule says which security module signed, when, and until when that can be judged.
func (x *finding) printModule(w *report.Writer) {
	n := x.Nitro
	w.Row("module", n.ModuleID)
	w.Row("made", show(n.Timestamp)+", by the module's clock")
	w.Row("TCB status", "not judged: AWS keeps its machines up to date, and publishes nothing about it")
	w.Row("valid", fmt.Sprintf("until %s, %s left", show(x.Collateral.NotAfter), left(x.Collateral.NotAfter.Sub(x.At))),
		"by the module's certificate, which lives for hours: a broker gets other evidence before that")
}
