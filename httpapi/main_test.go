package httpapi_test

import (
	"testing"

	"go.uber.org/goleak"

	"lumos/backend/cmd/needs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(needs.M{M: m}) }
