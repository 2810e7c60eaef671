// PyTorch's wheels carry gloo's code and not its headers. These stand-ins declare what the header of c10d's Gloo backend
// names; nothing of gloo is created or called through them.
#pragma once
