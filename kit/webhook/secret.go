package webhook

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
)

// secretPrefix is how a secret begins, after the Standard Webhooks
// specification.
const secretPrefix = "whsec_"

// rotation is how long a former secret signs, too.
const rotation = 24 * time.Hour

// decodeSecret returns the key that a secret stands for.
func decodeSecret(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		key, err = base64.RawStdEncoding.DecodeString(text)
	}
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("it is " + secretPrefix + " and 24 to 64 bytes in base64: make one, as by: echo whsec_$(openssl rand -base64 32)")
	}
	return key, nil
}

// vault seals secrets.
type vault struct {
	aead  cipher.AEAD
	nonce []byte // key of the nonces
}

// newVault returns a vault for the cluster's key, any bytes.
func newVault(key []byte) vault {
	derived, err := hkdf.Key(sha256.New, key, nil, "landfall: secrets of webhooks", 64)
	if err != nil {
		panic("webhook: " + err.Error()) // the length is constant
	}
	block, err := aes.NewCipher(derived[:32])
	if err != nil {
		panic("webhook: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("webhook: " + err.Error())
	}
	return vault{aead, derived[32:]}
}

// seal encrypts secret for the document at link. The nonce is made from both,
// because lives of documents must not draw lots: the same secret of the same
// document gives the same text, which tells nothing else.
func (v vault) seal(secret string, link kit.Link) string {
	m := hmac.New(sha256.New, v.nonce)
	m.Write([]byte(string(link) + "\x00" + secret))
	nonce := m.Sum(nil)[:v.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(v.aead.Seal(nonce, nonce, []byte(secret), []byte(link)))
}

// open returns the key of a sealed secret.
func (v vault) open(sealed string, link kit.Link) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	n := v.aead.NonceSize()
	if err != nil || len(b) < n {
		return nil, errors.New("the sealed secret is damaged: set the secret again")
	}
	secret, err := v.aead.Open(nil, b[:n], b[n:], []byte(link))
	if err != nil {
		return nil, errors.New("the secret was sealed with another cluster's key: set it again")
	}
	return decodeSecret(string(secret))
}

// keys returns the keys that sign the deliveries of s.
func (v vault) keys(s Subscription, now time.Time) ([][]byte, error) {
	key, err := v.open(s.Sealed, s.Link)
	if err != nil {
		return nil, err
	}
	keys := [][]byte{key}
	if s.Former != "" && now.Before(s.Rotated.Add(rotation)) {
		if former, err := v.open(s.Former, s.Link); err == nil && !bytes.Equal(former, key) {
			keys = append(keys, former)
		}
	}
	return keys, nil
}

// signatures returns the header webhook-signature for a message.
func signatures(keys [][]byte, id string, at time.Time, body []byte) string {
	var all []string
	for _, key := range keys {
		m := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(m, "%s.%s.", id, strconv.FormatInt(at.Unix(), 10))
		m.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	return strings.Join(all, " ")
}
