//go:build tools

// Package tools names what is built, so that go.sum pins all it is made of.
package tools

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
