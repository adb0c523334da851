package dcap

import (
	"fmt"
	"strings"
)

const (
	forgedTDXInfo = `{"id":"TDX","version":3,"issueDate":"2025-06-01T00:00:00Z","nextUpdate":"2025-07-01T00:00:00Z","fmspc":"00906ED50000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":17,` +
		`"tdxModule":{"mrsigner":"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"},` +
		`"tdxModuleIdentities":[` +
		`{"id":"TDX_03","mrsigner":"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF","tcbLevels":[{"tcb":{"isvsvn":7},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"UpToDate"}]},` +
		`{"id":"TDX_1A","mrsigner":"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF","tcbLevels":[` +
		`{"tcb":{"isvsvn":6},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"UpToDate"},{"tcb":{"isvsvn":3},"tcbDate":"2023-08-09T00:00:00Z","tcbStatus":"OutOfDate","advisoryIDs":["INTEL-SA-00007"]}]}],` +
		`"tcbLevels":[%s,%s]}`
	forgedTDLevel = `{"tcb":{"sgxtcbcomponents":[%s],"pcesvn":%d,"tdxtcbcomponents":[%s]},"tcbDate":"%s","tcbStatus":"%s"%s}`

	forgedTDQEIdentity = `{"id":"TD_QE","version":2,"issueDate":"2025-06-02T00:00:00Z","nextUpdate":"2025-07-02T00:00:00Z","tcbEvaluationDataNumber":18,"miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5","isvprodid":2,"tcbLevels":[` +
		`{"tcb":{"isvsvn":8},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"},` +
		`{"tcb":{"isvsvn":5},"tcbDate":"2020-11-11T00:00:00Z","tcbStatus":"OutOfDate","advisoryIDs":["INTEL-SA-00003"]}]}`
)

// forgedTDX is the TCB info of a forged trust domain: two levels, whose components are 2 and 1, but for the microcode of TDX (2), which is 5 and 4.
func forgedTDX() string {
	sgx := func(svn int) string {
		return strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"svn":%d},`, svn), 16), ",")
	}
	tdx := func(svn int) string {
		return fmt.Sprintf(`{"svn":%d,"category":"OS/VMM","type":"TDX Module"},{"svn":0,"category":"OS/VMM","type":"TDX Module"},{"svn":%d,"category":"OS/VMM","type":"TDX Late Microcode Update"}`, svn, svn+3) + strings.Repeat(`,{"svn":0}`, 13)
	}
	newest := fmt.Sprintf(forgedTDLevel, sgx(2), 13, tdx(2), "2025-03-13T00:00:00Z", "UpToDate", "")
	older := fmt.Sprintf(forgedTDLevel, sgx(1), 5, tdx(1), "2024-03-13T00:00:00Z", "OutOfDate", `,"advisoryIDs":["INTEL-SA-00002"]`)
	return fmt.Sprintf(forgedTDXInfo, newest, older)
}

// newTDForge is a forge of a trust domain's quote: TDX 1.0 in version 4, 1.5 in version 5. Its module is 26.6 (TDX_1A).
func newTDForge(version uint16) *forge {
	f := newForge()
	q := f.quote
	q.Header.Version, q.Header.TEE = version, teeTDX
	q.Enclave, q.TD = nil, &TDReport{TEETCBSVN: [16]byte{6, 0x1a, 5}, TDAttributes: [8]byte{3: 0x10}, XFAM: [8]byte{0xe7}}
	for i, field := range [][]byte{q.TD.MRSEAM[:], q.TD.MRTD[:], q.TD.RTMR[0][:], q.TD.RTMR[3][:], q.TD.MRConfigID[:], q.TD.MROwner[:], q.TD.MROwnerConfig[:]} {
		field[0], field[47] = byte(i), byte(i)
	}
	copy(q.TD.ReportData[:], "report data")
	if version == 5 {
		q.TD.TDX15, q.TD.TEETCBSVN2, q.TD.MRServiceTD = true, q.TD.TEETCBSVN, [48]byte{9}
	}
	q.Signature.QE.Report.ISVProdID = 2
	copy(q.Signature.QE.Report.MRSIGNER[:], unhex("DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5"))
	f.tcbInfo, f.qeIdentity = forgedTDX(), forgedTDQEIdentity
	return f
}

// newTD10Forge is a forge of a quote of TDX 1.0 in version 5.
func newTD10Forge() *forge {
	f := newTDForge(4)
	f.quote.Header.Version = 5
	return f
}

// newEnclaveForge is a forge of an enclave's quote of the given version.
func newEnclaveForge(version uint16) *forge {
	f := newForge()
	f.quote.Header.Version = version
	return f
}
