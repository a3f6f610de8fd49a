// Package bus holds what the examples share: the connection, and the check of signatures.
package bus

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
)

var (
	Tool      = os.Getenv("BONESETTER_TOOL")
	Namespace = os.Getenv("BONESETTER_NAMESPACE")
	// Consumer is the one consumer for this tool and namespace; no other name is allowed.
	Consumer = Tool + "_" + Namespace
)

// Connect logs in with certificate, nkey and the one inbox prefix that the tool may use.
func Connect() (*nats.Conn, error) {
	login, err := nats.NkeyOptionFromSeed(os.Getenv("NATS_NKEY"))
	if err != nil {
		return nil, err
	}
	return nats.Connect(
		os.Getenv("NATS_URL"),
		login,
		nats.RootCAs(os.Getenv("NATS_CA")),
		nats.ClientCert(os.Getenv("NATS_CERT"), os.Getenv("NATS_KEY")),
		nats.CustomInboxPrefix("_INBOX_external-"+Tool),
		nats.MaxReconnects(-1),
		nats.ErrorHandler(onError),
	)
}

// The server says what a user may not do here, and nowhere else: the call itself just waits.
func onError(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, nats.ErrAuthorization) {
		log.Fatal(err)
	}
	log.Print(err)
}

// Trusted is the public keys of one writer, by their ids.
type Trusted struct {
	file string
	keys map[string]ed25519.PublicKey
}

// ReadTrusted reads a file of trusted/: one key a line, during a rotation several.
func ReadTrusted(writer string) (*Trusted, error) {
	trusted := &Trusted{file: filepath.Join(os.Getenv("BONESETTER_TRUSTED"), writer+".pub")}
	return trusted, trusted.read()
}

func (trusted *Trusted) read() error {
	text, err := os.ReadFile(trusted.file)
	if err != nil {
		return err
	}
	trusted.keys = map[string]ed25519.PublicKey{}
	for line := range strings.Lines(string(text)) {
		encoded, isKey := strings.CutPrefix(strings.TrimSpace(line), "ed25519-public:")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !isKey || err != nil || len(key) != ed25519.PublicKeySize {
			continue
		}
		digest := sha256.Sum256(key)
		trusted.keys[hex.EncodeToString(digest[:8])] = key
	}
	return nil
}

// HasSigned says whether the writer has signed exactly these bytes for exactly this subject.
func (trusted *Trusted) HasSigned(subject string, payload []byte, headers nats.Header) bool {
	id := headers.Get("bonesetter-key-id")
	if trusted.keys[id] == nil {
		if err := trusted.read(); err != nil {
			log.Print(err)
		}
	}
	key := trusted.keys[id]
	signature, err := base64.StdEncoding.DecodeString(headers.Get("bonesetter-sig"))
	if key == nil || err != nil {
		return false
	}
	signed := bytes.NewBufferString("bonesetter.v1.signature\x00")
	signed.Write(binary.BigEndian.AppendUint64(nil, uint64(len(subject))))
	signed.WriteString(subject)
	hash := sha256.Sum256(payload)
	signed.Write(hash[:])
	return ed25519.Verify(key, signed.Bytes(), signature)
}
