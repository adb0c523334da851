// Package proxies has no code of its own: its tests run other people's proxies
// with the configurations in deploy/, around the gateway's own program.
//
// nginx, Caddy and HAProxy are Debian's; a test of one that is not installed is skipped, and says so. Envoy is
// not there: a gRPC client asks the gateway as Envoy does, and Envoy's configuration is read with Envoy's message types.
package proxies
