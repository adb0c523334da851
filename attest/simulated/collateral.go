package simulated

import (
	"encoding/json"
	"math/big"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// newCollateral makes and signs everything that judges the platform.
func newCollateral(p *plan, keys *keyring, certs *pki) (*dcap.Collateral, error) {
	var c dcap.Collateral
	var err error
	if err := addCRLs(&c, p, keys, certs); err != nil {
		return nil, err
	}
	c.TCBInfoIssuerChain = pemChain(certs.signer, certs.root)
	c.QEIdentityIssuerChain = pemChain(certs.qeSigner, certs.root)
	if c.TCBInfo, c.TCBInfoSignature, err = signJSON(keys, p.tcbInfoBy, p.tcbInfo); err != nil {
		return nil, err
	}
	if c.QEIdentity, c.QEIdentitySignature, err = signJSON(keys, p.qeIdentityBy, p.qeIdentity); err != nil {
		return nil, err
	}
	if p.tamper != nil {
		p.tamper(&c)
	}
	return &c, nil
}

// addCRLs adds the revocation lists of the root and of the PCK CA.
func addCRLs(c *dcap.Collateral, p *plan, keys *keyring, certs *pki) (err error) {
	var revoked []*big.Int
	if p.revokeCA {
		revoked = append(revoked, certs.ca.cert.SerialNumber)
	}
	if p.signer.revoke {
		revoked = append(revoked, certs.signer.cert.SerialNumber)
	} else if p.qeSigner.revoke {
		revoked = append(revoked, certs.qeSigner.cert.SerialNumber)
	}
	if !p.rootCRL.omit {
		issuer := certs.root.signingAs(keys.get(p.by(p.rootCRL.by)))
		if c.RootCACRL, err = revocationList(issuer, p.rootCRL.life, revoked); err != nil {
			return err
		}
	}

	issuer := certs.ca.signingAs(keys.get(p.pckCRL.by))
	if p.pckCRLOfOther {
		if issuer, err = otherCA(p, keys, certs.root); err != nil {
			return err
		}
	}
	c.PCKCRLIssuerChain = pemChain(issuer, certs.root)
	if p.pckCRL.omit {
		return nil
	}
	// Other people's processors are on the list too, as on the genuine one.
	others, err := keys.bytes("serial numbers of revoked PCKs", 3*20)
	if err != nil {
		return err
	}
	revoked = []*big.Int{serialNumber(others[:20]), serialNumber(others[20:40]), serialNumber(others[40:])}
	if p.revokePCK {
		revoked = append(revoked, certs.pck.cert.SerialNumber)
	}
	c.PCKCRL, err = revocationList(issuer, p.pckCRL.life, revoked)
	return err
}

// otherCA is the PCK CA that did not certify the platform.
func otherCA(p *plan, keys *keyring, root *authority) (*authority, error) {
	if p.caKey == processorCAKey {
		return issueCA(keys, root, platformCAName, platformCAKey, caLife, true)
	}
	return issueCA(keys, root, processorCAName, processorCAKey, caLife, true)
}

// signJSON returns the JSON of v and the signature over exactly these bytes.
func signJSON(keys *keyring, by keyName, v any) (string, []byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", nil, err
	}
	sig, err := signRaw(keys.get(by), b)
	return string(b), sig, err
}
