/* CRC32C (Castagnoli): what guards journal records and ring files. */
#ifndef NUMI_BASE_CRC32C_H
#define NUMI_BASE_CRC32C_H

#include "base/types.h"

/* The checksum of `size` bytes that follow what `crc` covers; begin with 0. By the CPU's own
 * instruction where there is one. "123456789" gives 0xE3069283. */
NUMI_API uint32_t numi_crc32c(uint32_t crc, const void *data, uint64_t size);

/* The same without any instruction beyond the baseline: the twin that the fast one is held against.
 */
NUMI_API uint32_t numi_crc32c_portable(uint32_t crc, const void *data, uint64_t size);

/* Whether numi_crc32c uses the CPU's instruction. */
NUMI_API int numi_crc32c_is_hardware(void);

#endif
