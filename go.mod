module github.com/confidential-token-broker/ctb

go 1.26.0

require (
	github.com/envoyproxy/go-control-plane/envoy v1.40.0 // the messages of Envoy's external authorization
	github.com/fsnotify/fsnotify v1.10.1 // tells when a rule file has changed
	github.com/fxamacker/cbor/v2 v2.9.6 // what evidence binds to a key is deterministic CBOR
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // JSON of outside origin: duplicate names refused, names case-sensitive
	github.com/goccy/go-yaml v1.19.2 // configurations and policies: strict, errors with line and column
	github.com/google/go-configfs-tsm v0.3.3 // the files by which Linux gives evidence of TDX and SEV-SNP guests
	github.com/google/go-sev-guest v0.15.0 // verifies the signature and chain of SEV-SNP reports
	github.com/hf/nitrite v0.0.0-20241225144000-c2d5d3c4f303 // signatures of AWS Nitro's attestation documents and of their chain
	github.com/hf/nsm v0.0.0-20220930140112-cd181bd646b9 // the device by which a Nitro Enclave gets its attestation document
	github.com/prometheus/client_golang v1.25.0 // metrics of the gateway
	github.com/spf13/cobra v1.10.2 // the command line of ctb, with its completion
	github.com/spf13/pflag v1.0.9 // the flags of cobra, for types of our own
	golang.org/x/crypto v0.57.0 // certificates of public CAs: ACME
	golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d // CA roots that do not come from the host's files
	google.golang.org/grpc v1.85.0 // Envoy asks over gRPC
)

require (
	// Tests alone need these; no program links them.
	github.com/go-jose/go-jose/v4 v4.1.8 // oracle of internal/jose
	github.com/rogpeppe/go-internal v1.16.0 // scripts that run the programs as users do
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cncf/xds/go v0.0.0-20260202195803-dba9d589def2 // indirect
	github.com/envoyproxy/protoc-gen-validate v1.3.3 // indirect
	github.com/google/logger v1.1.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/planetscale/vtprotobuf v0.6.1-0.20240319094008-0393e58bdf10 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	golang.org/x/tools v0.49.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
