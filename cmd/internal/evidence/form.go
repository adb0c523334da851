package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// The members that tell the forms of collateral files apart: one of them is in every file of its form, and none in one of the other.
var (
	intelMembers = []string{
		"pck_crl_issuer_chain", "root_ca_crl", "pck_crl", "tcb_info_issuer_chain", "tcb_info", "tcb_info_signature",
		"qe_identity_issuer_chain", "qe_identity", "qe_identity_signature", "pck_certificate_chain",
	}
	amdMembers = []string{"leaf", "ca", "root", "crl"}
)

// ParseFile reads what a collateral file has, of either form. What is of neither, or mixes the two, is refused and not tried as one or the other.
func ParseFile(data []byte) (*File, error) {
	names, err := memberNames(data)
	if err != nil {
		return nil, err
	}
	isOf := func(members []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(members, n) })
	}
	f := new(File)
	switch ofIntel, ofAMD := isOf(intelMembers), isOf(amdMembers); {
	case ofIntel && !ofAMD:
		f.DCAP, err = dcap.ParseCollateral(data)
	case ofAMD && !ofIntel:
		f.SNP, err = kds.ParseCollateral(data)
	case ofIntel:
		err = errors.New("got members of Intel's form and of AMD's, want a file of one platform")
	default:
		err = fmt.Errorf("got an object of neither form, want the members of Intel's (%s, …) or of AMD's (%s)",
			strings.Join(intelMembers[:3], ", "), strings.Join(amdMembers, ", "))
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// memberNames are the names of a JSON object's members.
func memberNames(data []byte) ([]string, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	if start, err := d.ReadToken(); err != nil || start.Kind() != '{' {
		return nil, errors.New("not a JSON object")
	}
	var names []string
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("not a JSON object: %w", err)
		}
		names = append(names, name.String())
		if err := d.SkipValue(); err != nil {
			return nil, fmt.Errorf("not a JSON object: %w", err)
		}
	}
	return names, nil
}
