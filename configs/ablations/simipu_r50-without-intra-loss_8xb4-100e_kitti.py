# Paper: no contrast between views of the cloud. With detached keys nothing would train the point encoder,
# so the inter-modal loss does.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(matcher=None, intra_head=None, inter_head=dict(detach_key=None))
