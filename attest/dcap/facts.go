package dcap

import (
	"encoding/hex"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// facts returns what the quote says of its enclave or trust domain, and the certificate of its platform.
func facts(q *Quote, p *platform) *tee.Report {
	r := &tee.Report{TEE: q.TEE(), FMSPC: hex.EncodeToString(p.pck.FMSPC[:]), PCKCA: p.which}
	if q.TD != nil {
		r.Data, r.Debug, r.Measurements = q.TD.ReportData, q.TD.Debug(), q.TD.measurements()
		return r
	}
	r.Data, r.Debug, r.Measurements = q.Enclave.ReportData, q.Enclave.Debug(), q.Enclave.measurements()
	r.ISVProdID, r.ISVSVN = q.Enclave.ISVProdID, q.Enclave.ISVSVN
	return r
}

func (r *EnclaveReport) measurements() map[string][]byte {
	return map[string][]byte{
		"mrenclave":    r.MRENCLAVE[:],
		"mrsigner":     r.MRSIGNER[:],
		"attributes":   r.Attributes[:],
		"miscselect":   r.MiscSelect[:],
		"cpusvn":       r.CPUSVN[:],
		"configid":     r.ConfigID[:],
		"configsvn":    {byte(r.ConfigSVN), byte(r.ConfigSVN >> 8)},
		"isvextprodid": r.ISVExtProdID[:],
		"isvfamilyid":  r.ISVFamilyID[:],
	}
}

func (r *TDReport) measurements() map[string][]byte {
	m := map[string][]byte{
		"mrtd":            r.MRTD[:],
		"mrconfigid":      r.MRConfigID[:],
		"mrowner":         r.MROwner[:],
		"mrownerconfig":   r.MROwnerConfig[:],
		"mrseam":          r.MRSEAM[:],
		"mrsignerseam":    r.MRSIGNERSEAM[:],
		"td_attributes":   r.TDAttributes[:],
		"xfam":            r.XFAM[:],
		"seam_attributes": r.SEAMAttributes[:],
		"tee_tcb_svn":     r.TEETCBSVN[:],
	}
	for i := range r.RTMR {
		m[fmt.Sprintf("rtmr%d", i)] = r.RTMR[i][:]
	}
	if r.TDX15 {
		m["tee_tcb_svn2"], m["mrservicetd"] = r.TEETCBSVN2[:], r.MRServiceTD[:]
	}
	return m
}
