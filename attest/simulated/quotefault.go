package simulated

import (
	"encoding/binary"
	"encoding/pem"
	"math"
)

// Faults of the quoting enclave and of the quote.
const (
	QEReportForged     Fault = "qe-report-forged"       // not signed with the PCK
	QEReportOfOtherKey Fault = "qe-report-of-other-key" // vouches for another attestation key
	QEReportDataTail   Fault = "qe-report-data-tail"    // the last 32 bytes of its report data are not zero
	QEOtherMRSIGNER    Fault = "qe-other-mrsigner"      // not the MRSIGNER of the QE identity
	QEOtherISVProdID   Fault = "qe-other-isvprodid"     // not its ISVPRODID
	QEOtherMiscselect  Fault = "qe-other-miscselect"    // not its MISCSELECT
	QEDebug            Fault = "qe-debug"               // a quoting enclave in debug mode
	QuoteForged        Fault = "quote-forged"           // not signed with the attestation key
	QuoteAltered       Fault = "quote-altered"          // the report data changed after signing
	QuoteHeaderAltered Fault = "quote-header-altered"   // the header changed after signing
	QuoteOtherVendor   Fault = "quote-other-vendor"     // made by a quoting enclave of another vendor
	QuoteOtherVersion  Fault = "quote-other-version"    // says that it is of version 2
	QuoteOtherKeyType  Fault = "quote-other-key-type"   // says that its key is on the curve P-384
	QuoteOtherTEE      Fault = "quote-other-tee"        // says that it is of a TEE that nobody knows
	QuoteSwappedTEE    Fault = "quote-swapped-tee"      // of SGX, says that it is of TDX, or the other way round

	QuoteTruncated          Fault = "quote-truncated"           // its last byte is missing
	QuoteTrailing           Fault = "quote-trailing"            // a byte that is not NUL follows it
	SignatureLengthShort    Fault = "signature-length-short"    // says that the signature section is a byte shorter than it is
	SignatureLengthLong     Fault = "signature-length-long"     // … a byte longer
	AuthDataLengthShort     Fault = "auth-data-length-short"    // says so of the quoting enclave's authentication data
	AuthDataLengthLong      Fault = "auth-data-length-long"     // … longer
	CertificationLengthLong Fault = "certification-length-long" // says so of the certificates
	CertificationEmpty      Fault = "certification-empty"       // there are no certificates
	AttestationKeyOffCurve  Fault = "attestation-key-off-curve" // the attestation key is no point of P-256
)

// Faults of certification data: a type that Intel defines, but from which the PCK's chain can't be had, and 5 or 6 at the wrong place.
const (
	CertificationPPID     Fault = "certification-ppid"     // type 1
	CertificationRSA2048  Fault = "certification-rsa2048"  // type 2
	CertificationRSA3072  Fault = "certification-rsa3072"  // type 3
	CertificationPCKAlone Fault = "certification-pck"      // type 4
	CertificationQEReport Fault = "certification-qe"       // type 6; in version 4 and later within another one of type 6
	CertificationManifest Fault = "certification-manifest" // type 7
	CertificationUnknown  Fault = "certification-unknown"  // type 8, which Intel has not defined

	CertificationFlat       Fault = "certification-flat"        // version 4 and later: laid out as in version 3
	CertificationOuterChain Fault = "certification-outer-chain" // … the outer type is 5
	CertificationOuterOther Fault = "certification-outer-other" // … the outer type is 7
	CertificationOuterShort Fault = "certification-outer-short" // … the outer length is a byte too small
	CertificationOuterLong  Fault = "certification-outer-long"  // … a byte too large
)

// Faults of the body of a quote of version 5.
const (
	BodyTypeUnknown Fault = "body-type-unknown" // type 9
	BodyTypeOther   Fault = "body-type-other"   // the type of another report of its TEE, or for SGX that of TDX 1.0
	BodySizeShort   Fault = "body-size-short"   // a size that is one too small for the type
	BodySizeLong    Fault = "body-size-long"    // … one too large
	BodySizeHuge    Fault = "body-size-huge"    // … of 4 GiB but a byte
)

var quoteFaults = []spoil{
	{QEReportForged, func(p *plan) { p.qeBy = strangerKey }},
	{QEReportOfOtherKey, func(p *plan) { p.boundKey = strangerKey }},
	{QEReportDataTail, func(p *plan) { p.qeData = func(d *[64]byte) { d[63] = 1 } }},
	{QEOtherMRSIGNER, func(p *plan) { p.qe.mrsigner[0] ^= 1 }},
	{QEOtherISVProdID, func(p *plan) { p.qe.isvProdID++ }},
	{QEOtherMiscselect, func(p *plan) { p.qe.miscselect = 1 }},
	{QEDebug, func(p *plan) { p.qe.flags |= flagDebug }},
	{QuoteForged, func(p *plan) { p.quoteBy = strangerKey }},
	{QuoteAltered, func(p *plan) { p.spoilQuote = func(p *plan, q []byte) []byte { q[p.dataAt()] ^= 1; return q } }},
	{QuoteHeaderAltered, func(p *plan) { p.spoilQuote = func(_ *plan, q []byte) []byte { q[28] ^= 1; return q } }},
	{QuoteOtherVendor, func(p *plan) { p.header.qeVendor[0] ^= 1 }},
	{QuoteOtherVersion, func(p *plan) { p.header.version = 2 }},
	{QuoteOtherKeyType, func(p *plan) { p.header.attestationKey = 3 }},
	{QuoteOtherTEE, func(p *plan) { p.header.tee = 0x82 }},
	{QuoteSwappedTEE, func(p *plan) { p.header.tee ^= teeSGX ^ teeTDX }},

	{QuoteTruncated, func(p *plan) { p.spoilQuote = func(_ *plan, q []byte) []byte { return q[:len(q)-1] } }},
	{QuoteTrailing, func(p *plan) { p.spoilQuote = func(_ *plan, q []byte) []byte { return append(q, 1) } }},
	{SignatureLengthShort, func(p *plan) { p.spoilQuote = lie32(atSection, -1) }},
	{SignatureLengthLong, func(p *plan) { p.spoilQuote = lie32(atSection, +1) }},
	{AuthDataLengthShort, func(p *plan) { p.spoilQuote = lie16(atAuthData, -1) }},
	{AuthDataLengthLong, func(p *plan) { p.spoilQuote = lie16(atAuthData, +1) }},
	{CertificationLengthLong, func(p *plan) { p.spoilQuote = lie32(atCertification, +1) }},
	{CertificationEmpty, func(p *plan) { p.certify = func(c *certification) { c.data = nil } }},
	{AttestationKeyOffCurve, func(p *plan) { p.keyOffCurve = true }},

	{CertificationPPID, identifies(certPPID, 16)},
	{CertificationRSA2048, identifies(certRSA2048, 256)},
	{CertificationRSA3072, identifies(certRSA3072, 384)},
	{CertificationPCKAlone, func(p *plan) {
		p.certify = func(c *certification) {
			block, _ := pem.Decode(c.data)
			*c = certification{certPCK, pem.EncodeToMemory(block)}
		}
	}},
	{CertificationQEReport, func(p *plan) { p.certify = func(c *certification) { c.kind = certQEReport } }},
	{CertificationManifest, func(p *plan) { p.certify = func(c *certification) { c.kind = certManifest } }},
	{CertificationUnknown, func(p *plan) { p.certify = func(c *certification) { c.kind = 8 } }},
}

// nestedFaults are those of the certification data around that of the PCK, since version 4.
var nestedFaults = []spoil{
	{CertificationFlat, func(p *plan) { p.nested = false }},
	{CertificationOuterChain, func(p *plan) { p.outerKind = certPCKChain }},
	{CertificationOuterOther, func(p *plan) { p.outerKind = certManifest }},
	{CertificationOuterShort, func(p *plan) { p.spoilQuote = lie32(atOuter, -1) }},
	{CertificationOuterLong, func(p *plan) { p.spoilQuote = lie32(atOuter, +1) }},
}

// bodyFaults are those of what stands before the body in version 5. The attestation key has signed it.
var bodyFaults = []spoil{
	{BodyTypeUnknown, func(p *plan) { p.bodyType = 9 }},
	{BodyTypeOther, func(p *plan) {
		p.bodyType = map[uint16]uint16{bodySGX: bodyTD10, bodyTD10: bodyTD15, bodyTD15: bodyTD10}[p.bodyType]
	}},
	{BodySizeShort, func(p *plan) { p.bodySize-- }},
	{BodySizeLong, func(p *plan) { p.bodySize++ }},
	{BodySizeHuge, func(p *plan) { p.bodySize = math.MaxUint32 }},
}

// identifies puts what names the PCK in the place of its certificates: the ID of the processor, encrypted or
// not, CPUSVN, PCESVN and PCEID.
func identifies(kind uint16, size int) func(*plan) {
	return func(p *plan) {
		p.certify = func(c *certification) {
			b := make([]byte, size)
			copy(b, p.pck.ppid[:])
			b = append(b, p.pck.tcb[:]...)
			b = binary.LittleEndian.AppendUint16(b, p.pck.pcesvn)
			*c = certification{kind, append(b, p.pck.pceid[:]...)}
		}
	}
}

// Where lengths stand, counted from the start of the quote.
func atSection(p *plan) int { return p.dataAt() + len(enclaveReport{}.data) + p.afterData() }
func atOuter(p *plan) int   { return atSection(p) + 4 + 64 + 64 + 2 }

func atAuthData(p *plan) int {
	at := atSection(p) + 4 + 64 + 64 + reportSize + 64
	if p.nested {
		at += 6
	}
	return at
}

func atCertification(p *plan) int { return atAuthData(p) + 2 + authDataSize + 2 }

// lie32 changes a length, after signing.
func lie32(at func(*plan) int, by int) func(*plan, []byte) []byte {
	return func(p *plan, q []byte) []byte {
		b := q[at(p):]
		binary.LittleEndian.PutUint32(b, binary.LittleEndian.Uint32(b)+uint32(by))
		return q
	}
}

func lie16(at func(*plan) int, by int) func(*plan, []byte) []byte {
	return func(p *plan, q []byte) []byte {
		b := q[at(p):]
		binary.LittleEndian.PutUint16(b, binary.LittleEndian.Uint16(b)+uint16(by))
		return q
	}
}
