package tee

import "time"

// AWSFacts is what an attestation document of a Nitro Enclave says beside its
// platform configuration registers ("Nitro Enclaves attestation process", aws/aws-nitro-enclaves-nsm-api).
type AWSFacts struct {
	ModuleID  string    // of the Nitro security module that signed it, such as "i-0123456789abcdef0-enc0123456789abcdef"
	Timestamp time.Time // when it was made, by the module's clock, in milliseconds
	PublicKey []byte    // as the enclave gave it, at most 1024 bytes
	UserData  []byte    // as the enclave gave it, at most 512 bytes; Report.Data has it if it is of 64 bytes, and else zeros
	Nonce     []byte    // as the enclave gave it, at most 512 bytes
}
