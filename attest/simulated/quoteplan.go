package simulated

import (
	"crypto/sha256"
	"encoding/binary"
)

// quotePlan is the part of a plan that is not about certificates and documents: the quoting enclave and the quote.
type quotePlan struct {
	qe          enclaveReport // report data is filled in when built
	qeBy        keyName
	qeData      func(*[64]byte)      // nil, or spoils the report data
	boundKey    keyName              // which attestation key the quoting enclave vouches for
	certify     func(*certification) // nil, or spoils what names the PCK
	keyOffCurve bool                 // the attestation key that the quote shows

	header    quoteHeader
	layout    uint16        // the quote is laid out as this version, whatever its header says
	bodyType  uint16        // version 5
	bodySize  uint32        // version 5: the size that it says
	enclave   enclaveReport // SGX
	td        tdReport      // TDX
	nested    bool          // version 4 and later: the report of the quoting enclave is within certification data
	outerKind uint16        // its type
	padding   int           // NULs after the quote; none where a fault touches what was signed

	quoteBy    keyName
	spoilQuote func(*plan, []byte) []byte // nil, or spoils the quote after signing
}

// quotingEnclave is one of the maker's.
type quotingEnclave struct {
	identity  string // the id of the document that judges it
	product   uint16
	mrenclave [32]byte
	mrsigner  [32]byte
}

var quotingEnclaves = map[string]quotingEnclave{
	"sgx": {"QE", 1,
		sha256.Sum256([]byte("MRENCLAVE of confidential-token-broker's simulated quoting enclave")),
		sha256.Sum256([]byte("MRSIGNER of confidential-token-broker's simulated quoting enclave"))},
	"tdx": {"TD_QE", 2,
		sha256.Sum256([]byte("MRENCLAVE of confidential-token-broker's simulated quoting enclave for TDX")),
		sha256.Sum256([]byte("MRSIGNER of confidential-token-broker's simulated quoting enclave for TDX"))},
}

// soundQuote is what an up-to-date quoting enclave makes.
func soundQuote(c Config, qe quotingEnclave) quotePlan {
	q := quotePlan{
		qe: enclaveReport{
			flags:     flagInit | flagMode64 | flagProvisionKey,
			xfrm:      0xe7,
			mrenclave: qe.mrenclave,
			mrsigner:  qe.mrsigner,
			isvProdID: qe.product,
		},
		qeBy:      pckKey,
		boundKey:  attestationKey,
		header:    quoteHeader{version: c.QuoteVersion, attestationKey: 2, qeVendor: intelQEVendor},
		layout:    c.QuoteVersion,
		bodyType:  bodySGX,
		bodySize:  reportSize,
		nested:    c.QuoteVersion > 3,
		outerKind: certQEReport,
		padding:   c.Padding,
		quoteBy:   attestationKey,
	}
	switch {
	case c.TD15:
		q.bodyType, q.bodySize = bodyTD15, tdReport15Size
	case c.TEE == "tdx":
		q.bodyType, q.bodySize = bodyTD10, tdReportSize
	}
	if c.TEE == "tdx" {
		q.header.tee = teeTDX
	}
	return q
}

// dataAt is where the report data begins in the quote.
func (p *plan) dataAt() int {
	at := headerSize
	if p.layout >= 5 {
		at += bodyHead
	}
	if p.tee == "tdx" {
		return at + tdReportDataOffset
	}
	return at + reportDataOffset
}

// afterData is how many bytes of the report follow the report data.
func (p *plan) afterData() int {
	if p.td15 {
		return tdReport15Size - tdReportSize
	}
	return 0
}

// signedHead is all that the attestation key signs.
func (p *plan) signedHead() []byte {
	b := p.header.marshal()
	if p.layout >= 5 {
		b = binary.LittleEndian.AppendUint16(b, p.bodyType)
		b = binary.LittleEndian.AppendUint32(b, p.bodySize)
	}
	if p.tee == "tdx" {
		return append(b, p.td.marshal(p.td15)...)
	}
	return append(b, p.enclave.marshal()...)
}
