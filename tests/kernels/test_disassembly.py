"""Reading disassemblies: loops, sizes of loads, spills."""

from __future__ import annotations

import kernels_under_test

DISASSEMBLY = kernels_under_test.submodule("disassembly")

NVDISASM = """
\t.section\t.text.kernel
        /*0000*/                   LDG.E.CONSTANT R1, desc[UR4][R2.64] ;
.L_x_1:
        /*0010*/                   LDG.E.64 R4, desc[UR4][R2.64] ;
.L_x_0:
        /*0020*/                   LDGSTS.E.BYPASS.128 [R5], desc[UR4][R2.64], P1 ;
        /*0030*/              @!P0 LDG.E.U16 R6, desc[UR4][R2.64] ;
        /*0040*/                   HMMA.1688.F32.TF32 R8, R4, R6, R8 ;
        /*0050*/               @P0 BRA `(.L_x_0) ;
        /*0060*/                   STL.64 [R1], R8 ;
        /*0070*/                   LDL R8, [R1] ;
        /*0080*/               @P1 BRA `(.L_x_1) ;
        /*0090*/                   EXIT ;
"""
CUOBJDUMP = """
        /*0100*/                   LDG.E.128 R4, [R2.64] ;      /* 0x0000000402047981 */
                                                                 /* 0x000ea2000c1e1d00 */
        /*0110*/                   FFMA R8, R4, R5, R8 ;         /* 0x0000000504087223 */
        /*0120*/               @P0 BRA 0x100 ;                   /* 0xffffffd000000947 */
        /*0130*/                   LDG.E R4, [R2.64] ;           /* 0x0000000402047981 */
        /*0140*/                   BRA 0x140;                    /* 0xfffffff000007947 */
"""
AMD = """
kernel:
\ts_load_dwordx2 s[0:1], s[2:3], 0x0
\tglobal_load_dword v1, v0, s[0:1]
.LBB0_1:
\tglobal_load_dwordx4 v[2:5], v0, s[0:1]
\tbuffer_load_ushort v6, v0, s[0:3], 0
\tv_mfma_f32_32x32x8_f16 v[8:23], v[2:3], v[4:5], v[8:23]
\ts_cbranch_scc1 .LBB0_1
\ts_endpgm
  - .sgpr_spill_count: 0
    .vgpr_spill_count: 3
"""


def only(**sizes):
    return {"16": 0, "8": 0, "4": 0, "2": 0, "1": 0} | {k[1:]: v for k, v in sizes.items()}


def test_sass_with_labels():
    facts = DISASSEMBLY.read_sass(NVDISASM)
    assert (facts.mma, facts.wgmma, facts.fma) == (1, 0, 0)
    assert facts.loads == only(_16=1, _8=1, _4=1, _2=1)
    assert facts.loop_loads == only(_16=1, _2=1)  # the inner loop alone
    assert facts.spill_bytes == 12


def test_sass_with_addresses():
    facts = DISASSEMBLY.read_sass(CUOBJDUMP)
    assert facts.fma == 1
    assert facts.loads == only(_16=1, _4=1)
    assert facts.loop_loads == only(_16=1)
    assert facts.spill_bytes == 0


def test_amd():
    facts = DISASSEMBLY.read_amdgcn(AMD)
    assert facts.mma == 1
    assert facts.loads == only(_16=1, _4=1, _2=1)
    assert facts.loop_loads == only(_16=1, _2=1)
    assert facts.spill_bytes == 12


def test_resources():
    text = " Function kernel:\n  REG:64 STACK:8 SHARED:1024 LOCAL:0 CONSTANT[0]:600 TEXTURE:0"
    assert DISASSEMBLY.read_resources(text) == {"REG": 64, "STACK": 8, "SHARED": 1024, "LOCAL": 0}
