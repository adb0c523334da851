package dcap

const (
	tdReport10Size = 584
	tdReport15Size = 648
)

// TDReport is what a TDX module says of a trust domain, a virtual machine: 584 bytes with TDX 1.0,
// 648 with 1.5 (Intel TDX DCAP Quoting Library API, A.3.2 "TD Quote Body"). Its fields are kept in the order of their bytes.
type TDReport struct {
	TEETCBSVN      [16]byte    // offset 0: [0] is the minor version (SVN) of the module, [1] its major one; those that launched the trust domain
	MRSEAM         [48]byte    // 16: the module's measurement
	MRSIGNERSEAM   [48]byte    // 64: its signer, zero for Intel's
	SEAMAttributes [8]byte     // 112: of the module, zero in production
	TDAttributes   [8]byte     // 120: the first byte is debug
	XFAM           [8]byte     // 128: processor features that are on
	MRTD           [48]byte    // 136: what the trust domain was built from
	MRConfigID     [48]byte    // 184: set by its owner at the launch, as are the two that follow
	MROwner        [48]byte    // 232
	MROwnerConfig  [48]byte    // 280
	RTMR           [4][48]byte // 328: extended as it runs
	ReportData     [64]byte    // 520

	TDX15       bool     // the two fields below are there
	TEETCBSVN2  [16]byte // 584: versions of the module that runs now, which may be newer
	MRServiceTD [48]byte // 600: the service trust domains that are bound to it
}

// Debug tells whether the trust domain is open to its host. Bit 0 of its attributes says that the host can read and change it; with
// any other of the bits 0 to 7 (TUD: it takes part in profiling, or what is yet to be defined) Intel calls it untrusted just so
// (TDX DCAP Quoting Library API, A.3.4 "TD Attributes").
func (r *TDReport) Debug() bool { return r.TDAttributes[0] != 0 }

// Marshal returns the 584 or 648 bytes of the report.
func (r *TDReport) Marshal() []byte { return r.append(make([]byte, 0, tdReport15Size)) }

func (r *TDReport) append(b []byte) []byte {
	for i := range tdReportFields {
		b = append(b, r.field(i)...)
	}
	if r.TDX15 {
		b = append(b, r.TEETCBSVN2[:]...)
		b = append(b, r.MRServiceTD[:]...)
	}
	return b
}

// read fills r, whose TDX15 is set, from the cursor.
func (r *TDReport) read(c *cursor) {
	for i := range tdReportFields {
		c.fill(r.field(i))
	}
	if r.TDX15 {
		c.fill(r.TEETCBSVN2[:])
		c.fill(r.MRServiceTD[:])
	}
}

// tdReportFields is how many fields TDX 1.0 has, in the order of field.
const tdReportFields = 15

func (r *TDReport) field(i int) []byte {
	switch i {
	case 0:
		return r.TEETCBSVN[:]
	case 1:
		return r.MRSEAM[:]
	case 2:
		return r.MRSIGNERSEAM[:]
	case 3:
		return r.SEAMAttributes[:]
	case 4:
		return r.TDAttributes[:]
	case 5:
		return r.XFAM[:]
	case 6:
		return r.MRTD[:]
	case 7:
		return r.MRConfigID[:]
	case 8:
		return r.MROwner[:]
	case 9:
		return r.MROwnerConfig[:]
	case 14:
		return r.ReportData[:]
	}
	return r.RTMR[i-10][:]
}
